"""End a training that takes far longer than `trainer.max_minutes`, for which its stages were shortened."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl

from tlx.callbacks.checkpoints import Checkpoints
from tlx.callbacks.stages import Stages

log = logging.getLogger("tlx")

OVER = 1.5  # times the limit


class TimeLimit(pl.Callback):
    """Ends the run after 1.5 times the limit, in the middle of an epoch, too: it is validated, kept and tested.

    The trial that shortens the stages may be wrong, on a machine that others use as well. The time is that of training
    and validation, over all starts.

    Args:
        stages: The callback that runs the plan.
        checkpoints: The callback that counts the seconds.
        minutes: The limit.
    """

    def __init__(self, stages: Stages, checkpoints: Checkpoints, minutes: float) -> None:
        self.stages, self.checkpoints, self.minutes = stages, checkpoints, minutes

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Make this batch the last one if the time is over; processes ask one another every few steps."""
        over = self.checkpoints.elapsed > OVER * 60 * self.minutes
        if trainer.world_size > 1:
            if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
                return
            over = trainer.strategy.broadcast(over)
        if not over or trainer.should_stop:
            return
        stage, number = self.stages.running, trainer.current_epoch - self.stages.first_epoch + 1
        log.warning(
            "trainer.max_minutes=%g: stopped after %.3g minutes in epoch %d of %d of stage %s; what it has learned is "
            "tested; for the whole training type trainer.max_minutes=null",
            self.minutes, self.checkpoints.elapsed / 60, number, stage.epochs, stage.name,
        )  # fmt: skip
        trainer.should_stop = True
        trainer.fit_loop.epoch_loop.batch_progress.is_last_batch = True  # so the loss of the epoch is logged
        self.stages.validate_now(trainer)
