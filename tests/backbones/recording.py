"""What a network computes, without computing it: its operations on the meta device and what each is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


@dataclass(frozen=True)
class Operation:
    """One operation: its name, its arguments and its results.

    Attributes:
        name: As torch calls it, `aten.convolution.default`.
        given: Its arguments; a tensor is told by its own name, or by the operation that made it.
        shapes: The shapes of what it returns.
    """

    name: str
    given: str
    shapes: str


class _Recorder(TorchDispatchMode):
    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names = dict(names)
        self.operations: list[Operation] = []
        self._alive: list[Tensor] = []  # so that no two tensors have one id

    def name(self, tensor: Tensor) -> str:
        return self.names.get(id(tensor), "unknown")

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.ops.aten.transpose.int:  # one view has two names
            order = list(range(args[0].ndim))
            order[args[1]], order[args[2]] = order[args[2]], order[args[1]]
            func, args = torch.ops.aten.permute.default, (args[0], order)
        given = repr(tree_map_only(Tensor, self.name, (args, kwargs or {})))
        result = func(*args, **(kwargs or {}))
        for place, leaf in enumerate(tree_leaves(result)):
            if isinstance(leaf, Tensor):
                self._alive.append(leaf)
                self.names[id(leaf)] = f"result {place} of {len(self.operations)}"
        shapes = repr(tree_map_only(Tensor, lambda tensor: tuple(tensor.shape), result))
        self.operations.append(Operation(str(func), given, shapes))
        return result


@torch.no_grad()
def record(
    model: nn.Module, names: Mapping[str, str], x: Tensor, compute: Callable[[Tensor], Tensor]
) -> list[Operation]:
    """Return the operations that lead from an image to a result; those that come after the result are left out.

    Args:
        model: What holds the tensors.
        names: Its tensors' names -> the names by which the operations shall tell them.
        x: Images (B, C, H, W) on the meta device.
        compute: From `x` to the result.
    """
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    # Buffers that are not saved have no name in a file: they are told by their last part and their shape.
    known = {id(tensor): names.get(key, f"{key.rpartition('.')[2]} {tuple(tensor.shape)}") for key, tensor in tensors}
    with _Recorder({**known, id(x): "image"}) as recorder:
        result = compute(x)
    made_by = int(recorder.name(result).rpartition(" ")[2])
    return recorder.operations[: made_by + 1]
