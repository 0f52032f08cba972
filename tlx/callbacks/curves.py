"""Curves that Lightning does not log: rates of layer groups, trainable parameters, losses and metrics over epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from tlx.callbacks.stages import Stages
from tlx.strategies.parameter_groups import layer_group
from tlx.tasks.module import Task


def learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    """Return the current learning rate of every layer group, as `lr/NAME`."""
    return {f"lr/{layer_group(group)}": float(group["lr"]) for group in trainer.optimizers[0].param_groups}


# The first character of the names of curves over epochs. TensorBoard sorts it before letters, and opens the first two
# groups of charts: loss and main metric of training and validation, not figures that are a single point.
OVER_EPOCHS = "_"
_OF_THE_EPOCH = ("train/loss", "train/accuracy")


def over_epochs(figures: Mapping[str, Any], headline: str) -> dict[str, float]:
    """Return the losses and the main metric of training and validation as `_loss/train`, `_loss/val`, …

    Args:
        figures: Figures of an epoch by flat name.
        headline: The main test metric, such as `test/accuracy`.
    """
    found = {}
    for metric in ("loss", headline.partition("/")[2]):
        for split in ("train", "val"):
            if f"{split}/{metric}" in figures:
                found[f"{OVER_EPOCHS}{metric}/{split}"] = float(figures[f"{split}/{metric}"])
    return found


class Curves(pl.Callback):
    """Logs one learning-rate curve per layer group and the number of trainable parameters.

    A point is logged every `log_every_n_steps` steps and at the first step of every epoch, so that even the shortest
    stage is visible. Trainable parameters are counted once per epoch, after the stage callback, which runs first.

    Args:
        stages: The callback that knows which epochs are validated.
    """

    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        self.trainable = 0
        self._first = False  # whether the next step is the first of its epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the trainable parameters, also in a run that resumes in the middle of an epoch."""
        assert isinstance(pl_module, Task)
        self.trainable = pl_module.trainable_parameters
        self._first = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the parameters that train in this epoch."""
        assert isinstance(pl_module, Task)
        self.trainable = pl_module.trainable_parameters
        self._first = True

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Log the rates of this step."""
        if trainer.global_step % trainer.log_every_n_steps and not self._first:  # type: ignore[attr-defined]
            return
        self._first = False
        values = {**learning_rates(trainer), "trainable_parameters": float(self.trainable)}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's mean loss and accuracy. Lightning logs after the checkpoint, where a kill would lose them."""
        found = self.stages.figures(trainer)
        values: dict[str, float] = {name: found[name] for name in _OF_THE_EPOCH if name in found}
        if not values:
            return
        values["epoch"] = float(trainer.current_epoch)
        assert isinstance(pl_module, Task)
        curves = over_epochs(found, pl_module.kind.headline)
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step - 1)  # the step of the epoch's other metrics
            if getattr(logger, "has_epoch_axis", False):
                logger.log_metrics(curves, step=trainer.current_epoch)
