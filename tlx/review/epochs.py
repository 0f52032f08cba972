"""metrics.csv: one row an epoch, readable while the run goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytorch_lightning as pl

from tlx.review.curves import learning_rates
from tlx.strategies.stages import Stages


class EpochTable(pl.Callback):
    """Appends epoch, stage, metrics and learning rates (those of the epoch's last step) to a CSV file.

    Args:
        path: The file.
        stages: Tells the stage that an epoch belongs to.
    """

    def __init__(self, path: Path, stages: Stages) -> None:
        self.path = path
        self.stages = stages
        self.stage_name = ""
        self.columns: list[str] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the stage: at the end of its last epoch the callback of stages is one further."""
        self.stage_name = self.stages.stage.name

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a row."""
        if not trainer.is_global_zero:
            return
        figures = {k: float(v) for k, v in trainer.callback_metrics.items() if k != "train/batch_loss"}
        row: dict[str, object] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "stage": self.stage_name,
            **dict(sorted(figures.items())),
            **learning_rates(trainer),
        }
        if not self.columns:
            self.columns = list(row)
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)
