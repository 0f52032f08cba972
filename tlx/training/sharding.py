"""FSDP2 with the same checkpoints as a single process: unsharded weights, unsharded optimizer state."""

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

from tlx.callbacks.checkpoint_reading import read_checkpoint


class Sharded(ModelParallelStrategy):
    """Shards the network over all processes.

    Lightning's own strategy loads weights only when it restores a whole run, not when a stage starts from the best
    weights. It also refuses an optimizer that has no state yet for layers that were frozen so far.

    Args:
        processes: Number of processes.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Have Lightning call `load_optimizer_state_dict`."""
        return True

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; `load_model_state_dict` and `load_optimizer_state_dict` restore it."""
        return read_checkpoint(Path(checkpoint_path))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load each process's shards from unsharded weights."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return, in process 0, the unsharded state as a single process would have it; all processes contribute."""
        inner = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        sharded = inner.state_dict()
        whole = {i: {key: _unsharded(value) for key, value in state.items()} for i, state in sharded["state"].items()}
        return {**sharded, "state": whole} if self.global_rank == 0 else {}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load each process's shards from an unsharded state; parameters without a saved state get none."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for group, kept in zip(optimizer.param_groups, saved["param_groups"], strict=True):
                group.update({key: value for key, value in kept.items() if key != "params"})
            for i, state in saved["state"].items():
                own = parameters[i]
                optimizer.state[own] = {key: _shard(value, own) for key, value in state.items()}


def _unsharded(value: Any) -> Any:
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.cpu() if isinstance(value, Tensor) else value


def _shard(value: Any, parameter: Tensor) -> Any:
    """Return this process's shard of a state value with the shape of its parameter; copy other values whole."""
    if not isinstance(value, Tensor) or not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value.clone() if isinstance(value, Tensor) else value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
