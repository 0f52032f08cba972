"""How far the weights of each layer group have moved since the start of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytorch_lightning as pl
import torch
from torch import Tensor

from tlx.callbacks.stages import Stages
from tlx.tasks.module import Task


def relative_movement(weights: Iterable[Tensor], start: Iterable[Tensor]) -> float | None:
    """Return ||w - w0|| / ||w0|| over all tensors together; None if w0 is zero or there are no tensors.

    Args:
        weights: The current tensors, of any shape.
        start: The initial tensors, in the same order and shapes. They are converted to the type and device of
            `weights`, so that rounding to half precision does not count as movement.
    """
    moved = norm = 0.0
    for now, before in zip(weights, start, strict=True):
        then = before.to(now.device, now.dtype)
        moved += float((now.detach().float() - then.float()).square().sum(dtype=torch.float32))
        norm += float(then.float().square().sum(dtype=torch.float32))
    return math.sqrt(moved / norm) if norm > 0 else None


class Movement(pl.Callback):
    """Logs `movement/GROUP` at the end of every epoch, at the step of the epoch's other metrics.

    The initial weights are copied in `setup`, which Lightning calls before it restores a checkpoint. The network is
    built the same way each time, so a resumed run measures from the same weights, for the head from its random ones.
    Groups that no stage trains are at 0 and need no copy. Process 0 keeps the copies, in host memory.

    Args:
        stages: The callback that knows which groups are ever trained.
    """

    def __init__(self, stages: Stages) -> None:
        self.trained = {group for stage in stages.stages for group in stage.trained}
        self._start: dict[str, list[Tensor]] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Copy the initial weights of the groups that will train."""
        if stage == "fit" and trainer.is_global_zero:
            assert isinstance(pl_module, Task)
            for group in self.trained:
                self._start[group] = [p.detach().to("cpu", copy=True) for p in pl_module.group_parameters(group)]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the distance of the weights from their initial values."""
        assert isinstance(pl_module, Task)
        values: dict[str, float] = {}
        for group in pl_module.group_names:
            weights = pl_module.group_parameters(group)
            if group not in self.trained:
                moved = 0.0 if next(iter(weights), None) is not None else None
            elif trainer.is_global_zero:
                moved = relative_movement(map(_unsharded, weights), self._start[group])
            else:
                moved = None
                for parameter in weights:
                    _unsharded(parameter)  # every process has to contribute its shard
            if moved is not None:
                values[f"movement/{group}"] = moved
        for logger in trainer.loggers if trainer.is_global_zero else ():
            logger.log_metrics(values, step=max(trainer.global_step - 1, 0))


def _unsharded(parameter: Tensor) -> Tensor:
    """Return the weights of a parameter; if it is sharded, gather them from all processes."""
    parameter = parameter.detach()
    gather = getattr(parameter, "full_tensor", None)  # of a DTensor, whose module takes a second to import
    whole: Tensor = parameter if gather is None else gather()
    return whole
