"""Private names of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # BatchNorm1d, 2d, 3d, SyncBatchNorm, lazy ones
from torch.nn.modules.batchnorm import _NormBase as NormBase  # these, and InstanceNorm
from torch.utils import _pytree as trees

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

__all__ = [
    "BatchNorm",
    "NormBase",
    "allowed_in_weights",
    "changes",
    "default_store",
    "has_readers",
    "map_tensors",
    "pin_memory",
    "pull_towards",
    "reader_of_next",
    "shallow_copy",
    "stop_readers",
    "storage_key",
    "summary_writer",
    "tensors_in",
]

T = TypeVar("T")


def changes(tensor: Tensor) -> int:
    """Return how many times a tensor of any shape has been changed in place."""
    return tensor._version


def storage_key(storage: torch.UntypedStorage) -> int:
    """Return a number that identifies a storage while it exists, also on the meta device, where it has no address."""
    return int(storage._cdata)


def map_tensors(function: Callable[[Tensor], Tensor], values: T) -> T:
    """Return dicts, lists and tuples of tensors, of any shape, with a function applied to each tensor."""
    mapped: T = trees.tree_map(function, values)
    return mapped


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors, of any shape, in dicts, lists and tuples."""
    return trees.tree_leaves(values)


def pull_towards(gradients: Sequence[Tensor], weights: Sequence[Tensor], starts: Sequence[Tensor], by: float) -> None:
    """Add `by * (weight - start)`, of any shape, to each gradient, with few kernels for all of them."""
    torch._foreach_add_(list(gradients), torch._foreach_sub(list(weights), list(starts)), alpha=by)


def shallow_copy(module: nn.Module, parameters: bool) -> nn.Module:
    """Return a module with the same contents, whose child modules can be replaced without changing the original.

    Args:
        module: The original.
        parameters: Whether the copy has the module's own parameters; otherwise each is None.
    """
    clone = module.__class__.__new__(module.__class__)
    clone.__dict__ = {**module.__dict__, "_modules": dict(module._modules), "_buffers": dict(module._buffers)}
    clone.__dict__["_parameters"] = dict(module._parameters) if parameters else dict.fromkeys(module._parameters)
    return clone


def allowed_in_weights() -> set[str]:
    """Return the names that torch allows in a file that it loads with `weights_only=True`."""
    return set(torch._weights_only_unpickler._get_allowed_globals())


def default_store() -> Any:
    """Return the store in which processes exchange small values, by `set`, `get` and `check` of texts."""
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()


def pin_memory(batch: T) -> T:
    """Return a batch in pinned memory, from which a GPU copies without waiting for the host."""
    from torch.utils.data._utils.pin_memory import pin_memory as pin

    pinned: T = pin(batch)
    return pinned


def has_readers(loader: DataLoader[Any]) -> bool:
    """Return whether a DataLoader with persistent workers has started its processes."""
    return loader._iterator is not None


def stop_readers(loader: DataLoader[Any]) -> None:
    """End the processes of a DataLoader with persistent workers; it starts new ones when batches are requested."""
    loader._iterator = None


def reader_of_next(batches: Any) -> int:
    """Return the id of the process whose batch the iterator of a DataLoader yields next."""
    worker: int = batches._task_info[batches._rcvd_idx][0]
    pid: int = batches._workers[worker].pid
    return pid


def summary_writer(writer: Any) -> Any:
    """Return the file writer of a torch SummaryWriter; its `add_summary(summary, step)` accepts any summary.

    The SummaryWriter's own methods cannot write a row of the hparams tab without a list of columns.
    """
    return writer._get_file_writer()
