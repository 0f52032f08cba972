"""metrics.csv: one row per epoch, readable during the run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytorch_lightning as pl

from tlx.base.files import sync, write_text
from tlx.callbacks.curves import learning_rates
from tlx.callbacks.stages import Stages


class EpochTable(pl.Callback):
    """Writes epoch, stage, metrics and learning rates (those of the epoch's last step) to a CSV file.

    Figures of validation are empty for epochs that are not validated. The column `epochs` has the number of epochs that
    the run takes at most.

    The file is rewritten after each epoch, so that it is complete at any moment, and synced to the disk with the
    checkpoints. A resumed run drops the rows of the epochs that it trains again.

    Args:
        path: The file.
        stages: The callback that knows the stage of an epoch.
    """

    def __init__(self, path: Path, stages: Stages) -> None:
        self.path = path
        self.stages = stages
        self.rows: list[dict[str, object]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the rows of the previous epochs."""
        self.rows = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = [dict(row) for row in csv.DictReader(file) if int(row["epoch"]) < trainer.current_epoch]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row."""
        if not trainer.is_global_zero:
            return
        figures = {k: v for k, v in self.stages.figures(trainer).items() if k != "train/batch_loss"}
        self.rows.append(
            {
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                "stage": self.stages.running.name,
                "epochs": self.stages.total_epochs,
                **dict(sorted(figures.items())),
                **learning_rates(trainer),
            }
        )
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.rows[0]), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue(), synced=False)

    def sync(self) -> None:
        """Flush the rows to the disk, before a checkpoint says that their epochs are complete."""
        if self.path.is_file():
            sync(self.path)
