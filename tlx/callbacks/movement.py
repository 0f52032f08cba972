"""How far the weights of each layer group have moved from where the run began."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from tlx.callbacks.stages import Stages
from tlx.tasks.module import Task


def relative_movement(weights: Iterable[Tensor], start: Iterable[Tensor]) -> float | None:
    """Return ||w - w0|| / ||w0|| over all tensors together, or None where w0 is zero or nothing is there.

    Args:
        weights: The tensors as they are, of any shape.
        start: As they were, in the same order and shapes; they are brought to the type and device of `weights`, so that
            a run in half precision does not seem to move by rounding alone.
    """
    moved = norm = 0.0
    for now, before in zip(weights, start, strict=True):
        then = before.to(now.device, now.dtype)
        moved += float((now.detach().float() - then.float()).square().sum(dtype=torch.float32))
        norm += float(then.float().square().sum(dtype=torch.float32))
    return math.sqrt(moved / norm) if norm > 0 else None


class Movement(pl.Callback):
    """Logs `movement/GROUP` at the end of every epoch, at its last step, as Lightning does with its own figures.

    The start is copied in `setup`, which Lightning calls before it restores a checkpoint: the network is built the same
    each time, so a resumed run measures from the same start. For the head that is its random start. Groups that no
    stage trains are at 0 and need no copy. With several processes the first one keeps the copies, in host memory.

    Args:
        stages: Tells which groups are ever trained.
    """

    def __init__(self, stages: Stages) -> None:
        self.trained = {group for stage in stages.stages for group in stage.trained}
        self._start: dict[str, list[Tensor]] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Copy the weights of the groups that will train."""
        if stage == "fit" and trainer.is_global_zero:
            assert isinstance(pl_module, Task)
            for group in self.trained:
                self._start[group] = [p.detach().to("cpu", copy=True) for p in pl_module.group_parameters(group)]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log how far the weights are from the start."""
        assert isinstance(pl_module, Task)
        values: dict[str, float] = {}
        for group in pl_module.group_names:
            weights = pl_module.group_parameters(group)
            if group not in self.trained:
                moved = 0.0 if next(iter(weights), None) is not None else None
            elif trainer.is_global_zero:
                moved = relative_movement(map(_whole, weights), self._start[group])
            else:
                moved = None
                for parameter in weights:
                    _whole(parameter)  # every process has to give its share
            if moved is not None:
                values[f"movement/{group}"] = moved
        for logger in trainer.loggers if trainer.is_global_zero else ():
            logger.log_metrics(values, step=max(trainer.global_step - 1, 0))


def _whole(parameter: Tensor) -> Tensor:
    """Return a parameter's weights; of one that is sharded, after all processes gave their shares."""
    parameter = parameter.detach()
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
