"""Show in the log how the training goes: a row for an epoch, and in a terminal a bar for the current one."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytorch_lightning as pl

from tlx.base.live_bar import LiveBar
from tlx.callbacks.checkpoints import Checkpoints
from tlx.callbacks.stages import Stages
from tlx.measures.epoch_rows import LONG, Epoch, EpochRows, expected_left, how_to_shorten, is_shown
from tlx.tasks.module import Task

log = logging.getLogger("tlx")


class TrainingRows(pl.Callback):
    """Logs a table for each stage. It runs before `Stages`, which then moves on to the next stage.

    Args:
        stages: The callback that runs the plan.
        checkpoints: The callback that knows the best value of earlier starts.
        bar: Whether to draw a bar for the current epoch if the output is a terminal.
        limited: Whether the user has limited the time, and needs no advice about a long training.
    """

    def __init__(self, stages: Stages, checkpoints: Checkpoints, bar: bool, limited: bool = False) -> None:
        self.stages, self.checkpoints, self.limited = stages, checkpoints, limited
        self.bar = LiveBar() if bar else None
        self.best: float | None = None  # times the sign of the mode, as in the checkpoint
        self._rows: EpochRows | None = None  # of the stage; None: no row was logged yet
        self._shown = 0  # the last epoch of the stage with a row
        self._held = ""  # the row of the last epoch, if it was not logged
        self._seconds: list[float] = []  # of this stage's epochs
        self._steps, self._since = 0, 0.0  # batches of this epoch in this process, and when it began

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the best value of earlier starts."""
        self.best = self.checkpoints.best
        self._begin_epoch(trainer)  # Lightning calls no start of an epoch if it resumes in its middle

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a table if a stage begins."""
        if trainer.current_epoch == self.stages.first_epoch:
            self._end_table()
        self._begin_epoch(trainer)

    def _begin_epoch(self, trainer: pl.Trainer) -> None:
        self._steps, self._since = 0, time.perf_counter()
        self._draw(trainer, "epoch", int(trainer.num_training_batches))

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Move the bar on."""
        self._steps += 1
        if self.bar is not None:
            self.bar.advance()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show a bar for the validation."""
        self._draw(trainer, "validation of epoch", int(sum(trainer.num_val_batches)))

    def on_validation_batch_end(self, *arguments: Any, **named: Any) -> None:
        """Move the bar on."""
        if self.bar is not None:
            self.bar.advance()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the row of the epoch, or hold it back if there are many."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Task)
        epoch = self._ended(trainer)
        headline = f"val/{pl_module.kind.headline.partition('/')[2]}"
        if not self.stages.validates:  # its row would lack what the others show
            return
        begins = self._rows is None
        rows = self._rows = self._rows or EpochRows(epoch, self.checkpoints.monitor, headline)
        self._held = rows.row(epoch)
        every = self.stages.every[self.stages.index]
        if begins or is_shown(epoch.number, epoch.epochs, epoch.is_best, self._shown, every):
            if begins:
                log.info(rows.heading())
            self._shown = epoch.number
            self._show()
        if trainer.current_epoch == 0 and epoch.left > LONG and not self.limited:
            tuned = any(set(stage.trained) - set(pl_module.kind.upper_groups) for stage in self.stages.stages)
            log.info("  %s", how_to_shorten(tuned))

    def _ended(self, trainer: pl.Trainer) -> Epoch:
        stage = self.stages.stage
        number = trainer.current_epoch - self.stages.first_epoch + 1
        figures = self.stages.figures(trainer)
        sign, value = self.checkpoints.sign, figures.get(self.checkpoints.monitor)
        is_best = value is not None and (self.best is None or sign * value > self.best)
        if is_best and value is not None:
            self.best = sign * value
        seconds = time.perf_counter() - self._since
        # After a stop in the middle of the epoch, this process has seen a part of it.
        self._seconds.append(seconds * int(trainer.num_training_batches) / max(self._steps, 1))
        later = self.stages.stages[self.stages.index + 1 :]
        left = stage.epochs - number + sum(one.epochs for one in later)
        return Epoch(
            stage.name,
            number,
            stage.epochs,
            figures,
            None if self.best is None else sign * self.best,
            is_best,
            seconds,
            expected_left(self._seconds, left),
            at_least=any(set(one.trained) - set(stage.trained) for one in later),
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the row of the last epoch."""
        self._end_table()
        self._remove()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Remove the bar, below which the message would appear."""
        self._remove()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove the bar."""
        self._remove()

    def _show(self) -> None:
        log.info(self._held)
        self._held = ""

    def _end_table(self) -> None:
        if self._held:
            self._show()
        self._rows, self._shown, self._seconds = None, 0, []

    def _draw(self, trainer: pl.Trainer, what: str, steps: int) -> None:
        if self.bar is not None:
            number = trainer.current_epoch - self.stages.first_epoch + 1
            self.bar.begin(f"{self.stages.stage.name}: {what} {number} of {self.stages.stage.epochs}", steps)

    def _remove(self) -> None:
        if self.bar is not None:
            self.bar.end()
