"""Curves that Lightning does not draw by itself: the learning rate of each layer group, and how much trains."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from tlx.strategies.parameter_groups import layer_group
from tlx.tasks.module import Task


def learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    """Return `lr/NAME` of every layer group as the optimizer has it now."""
    return {f"lr/{layer_group(group)}": float(group["lr"]) for group in trainer.optimizers[0].param_groups}


class Curves(pl.Callback):
    """Logs one learning-rate curve a layer group, and the number of trainable parameters.

    A point is drawn every `log_every_n_steps` steps and at the first step of every epoch, so that a stage shows however
    short it is. What trains is counted once an epoch, after the stage callback, which comes before this one.
    """

    def __init__(self) -> None:
        self.trainable = 0
        self._first = False  # the epoch's first step is still to come

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what trains, also in a run that goes on in the middle of an epoch."""
        assert isinstance(pl_module, Task)
        self.trainable = pl_module.trainable_parameters
        self._first = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what trains in this epoch."""
        assert isinstance(pl_module, Task)
        self.trainable = pl_module.trainable_parameters
        self._first = True

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Log the rates with which this step is taken."""
        if trainer.global_step % trainer.log_every_n_steps and not self._first:  # type: ignore[attr-defined]
            return
        self._first = False
        values = {**learning_rates(trainer), "trainable_parameters": float(self.trainable)}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's mean loss. Lightning would do so after the checkpoint: a kill between them would lose it."""
        loss = trainer.callback_metrics.get("train/loss")
        if loss is None:
            return
        values = {"train/loss": float(loss), "epoch": float(trainer.current_epoch)}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step - 1)  # the step of the epoch's other figures
