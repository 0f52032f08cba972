"""Report a trial's monitored value after every epoch, and stop the trial early if it is not promising."""

from __future__ import annotations

import math
import os

import pytorch_lightning as pl

from tlx.base.errors import Pruned
from tlx.callbacks.stages import Stages
from tlx.callbacks.study import PRUNED, trial_of
from tlx.callbacks.trial_place import TRIAL, TrialPlace


class Pruning(pl.Callback):
    """Asks the study's pruner at the end of an epoch, in the last stage only.

    While layers are still frozen, the values say little about the final result.

    Args:
        place: The trial.
        monitor: The reported value.
        stages: The callback that knows the stage of the epoch.
    """

    def __init__(self, place: TrialPlace, monitor: str, stages: Stages) -> None:
        self.trial = trial_of(place)
        self.monitor, self.stages = monitor, stages

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the value; raise Pruned in every process if the pruner decides so."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        pruned = False
        if trainer.is_global_zero and self.trial is not None:
            value = float(trainer.callback_metrics[self.monitor])
            if math.isfinite(value):
                self.trial.report(value, trainer.current_epoch)
                pruned = self.stages.stage is self.stages.stages[-1] and self.trial.should_prune()
            if pruned:
                self.trial.set_user_attr(PRUNED, trainer.current_epoch)
        if trainer.strategy.broadcast(pruned):
            stage = self.stages.stage.name
            raise Pruned(f"pruned in epoch {trainer.current_epoch + 1}, stage {stage}: other trials do better")


def pruning_callbacks(monitor: str, stages: Stages) -> list[pl.Callback]:
    """Return the pruning callback if this process trains a trial of a search."""
    if TRIAL not in os.environ:
        return []
    return [Pruning(TrialPlace.parse(os.environ[TRIAL]), monitor, stages)]
