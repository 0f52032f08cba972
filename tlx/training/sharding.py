"""FSDP2 with checkpoints that are those of one process: whole weights, whole optimizer state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from tlx.callbacks.checkpoints import read_checkpoint


class Sharded(ModelParallelStrategy):
    """Shards over all processes.

    Lightning's own way loads weights only where a whole run is restored, not where a stage starts from the best ones,
    and refuses an optimizer that has no state yet for layers that were frozen so far.

    Args:
        processes: Over how many.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Have Lightning call `load_optimizer_state_dict`."""
        return True

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; the two methods below put it into place."""
        return read_checkpoint(Path(checkpoint_path))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give each process its shares of whole weights."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the whole state, as one process would have it, in the first process; all give their shares."""
        inner = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        told = inner.state_dict()
        whole = {i: {key: _whole(value) for key, value in state.items()} for i, state in told["state"].items()}
        return {**told, "state": whole} if self.global_rank == 0 else {}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Give each process its shares of a whole state; what had none when it was saved has none now."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for group, kept in zip(optimizer.param_groups, saved["param_groups"], strict=True):
                group.update({key: value for key, value in kept.items() if key != "params"})
            for i, state in saved["state"].items():
                own = parameters[i]
                optimizer.state[own] = {key: _share(value, own) for key, value in state.items()}


def _whole(value: Any) -> Any:
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.cpu() if isinstance(value, Tensor) else value


def _share(value: Any, parameter: Tensor) -> Any:
    """What a process holds of a value that belongs to a parameter: its share of one that has the parameter's shape."""
    if not isinstance(value, Tensor) or not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value.clone() if isinstance(value, Tensor) else value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
