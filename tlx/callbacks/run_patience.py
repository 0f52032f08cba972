"""End the run where the monitored value no longer improves: `trainer.patience`."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytorch_lightning as pl

from tlx.callbacks.stages import Stages

log = logging.getLogger("tlx")

_ROUNDING = 1e-6  # of a sum of fractions of epochs


class RunPatience(pl.Callback):
    """Ends the run after so many epochs without a better value, also over several stages.

    Epochs are those that the strategy names: where a small set makes a stage of 15 epochs one of 84 short ones, each of
    these counts as a part of one. Lightning's EarlyStopping counts epochs alike, however short.

    Args:
        stages: The callback that runs the plan; it runs before this one.
        monitor: Logged value by which epochs are compared.
        mode: `max` or `min` of it.
        patience: Epochs.
    """

    def __init__(self, stages: Stages, monitor: str, mode: str, patience: int) -> None:
        self.stages, self.monitor, self.sign, self.patience = stages, monitor, 1.0 if mode == "max" else -1.0, patience
        self.best = -math.inf  # times the sign of the mode
        self.waited = 0.0  # epochs as the strategy names them

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the wait, plain numbers."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them from a checkpoint."""
        self.best, self.waited = float(state_dict["best"]), float(state_dict["waited"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the epoch's value with the best one."""
        stage = self.stages.running
        self.waited += stage.named_epochs / stage.epochs
        value = self.stages.figures(trainer).get(self.monitor)
        if value is None:  # this epoch is not validated
            return
        if self.sign * value > self.best:
            self.best, self.waited = self.sign * value, 0.0
        elif self.waited >= self.patience - _ROUNDING and not trainer.should_stop:
            log.info("%s has not improved for trainer.patience=%d epochs: the run ends", self.monitor, self.patience)
            trainer.should_stop = True
