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

    The pruner counts epochs as the strategy names them, so that its warm-up, or the least resource of Hyperband, is not
    six steps where a small set has epochs of six steps: a lengthened stage reports as many values as it names epochs.

    Args:
        place: The trial.
        monitor: The reported value.
        stages: The callback that knows the stage of the epoch.
    """

    def __init__(self, place: TrialPlace, monitor: str, stages: Stages) -> None:
        self.trial = trial_of(place)
        self.monitor, self.stages = monitor, stages
        self._reported = -1  # the last epoch that was reported, from 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the value; raise Pruned in every process if the pruner decides so."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        pruned, epoch = False, self._named_epoch(trainer)
        if trainer.is_global_zero and self.trial is not None and epoch > self._reported:
            value = float(trainer.callback_metrics[self.monitor])
            self._reported = epoch
            if math.isfinite(value):
                self.trial.report(value, epoch)
                pruned = self.stages.stage is self.stages.stages[-1] and self.trial.should_prune()
            if pruned:
                self.trial.set_user_attr(PRUNED, trainer.current_epoch)
        if trainer.strategy.broadcast(pruned):
            stage = self.stages.stage.name
            raise Pruned(f"pruned in epoch {trainer.current_epoch + 1}, stage {stage}: other trials do better")

    def _named_epoch(self, trainer: pl.Trainer) -> int:
        """Return the last epoch, from 0 and counted over the run, that has ended as the strategy names epochs."""
        stages = self.stages
        before = sum(stage.named_epochs for stage in stages.stages[: stages.index])
        return before + stages.stage.as_named(trainer.current_epoch - stages.first_epoch + 1) - 1


def pruning_callbacks(monitor: str, stages: Stages) -> list[pl.Callback]:
    """Return the pruning callback if this process trains a trial of a search."""
    if TRIAL not in os.environ:
        return []
    return [Pruning(TrialPlace.parse(os.environ[TRIAL]), monitor, stages)]
