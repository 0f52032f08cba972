"""A review in TensorBoard: scalars, pictures, tables as text, the projector, a row of the hparams tab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tlx.measures.sections import Embedding, Plain, TableGroup
from tlx.records.directory import RunDirectory
from tlx.review.sinks.base import scalars
from tlx.review.sinks.hparams import write_hparams
from tlx.review.sinks.loggers import LoggerSink
from tlx.review.sinks.projector import FILES as PROJECTOR
from tlx.review.sinks.projector import write_projector
from tlx.training.run_logger import RunLogger


class TensorBoardSink(LoggerSink):
    """Writes a review at one step.

    Args:
        logger: A TensorBoard logger.
        run: The run; its name labels its row of the hparams tab.
        step: The step.
    """

    def __init__(self, logger: RunLogger, run: RunDirectory, step: int) -> None:
        super().__init__(logger, step)
        self.run, self.name = run, "TensorBoard"

    def write_figures(self, figures: Mapping[str, float], compared: Sequence[str]) -> None:
        """Log each charted figure as one point.

        A capital letter makes the hparams tab, which sorts by bytes, show `Best/…` first; the charts sort it after the
        curves over epochs, see `tlx.callbacks.curves`.
        """
        points = {name.replace("best/", "Best/", 1): value for name, value in scalars(figures, compared).items()}
        self.logger.log_metrics(points, self.step)

    def write_hyperparameters(self, values: Mapping[str, Plain]) -> None:
        """Write the run's row."""
        write_hparams(self.logger.experiment, values, self.run.directory.name, self.step)

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3), as `review/NAME`."""
        self.logger.experiment.add_image(f"review/{name}", pixels, self.step, dataformats="HWC")

    def write_tables(self, group: TableGroup) -> None:
        """Write tables as the text `review/NAME`."""
        self.logger.experiment.add_text(f"review/{group.name}", group.markdown(), self.step)

    def write_embedding(self, embedding: Embedding) -> None:
        """Write the projector's files next to the event files."""
        folder = Path(self.logger.log_dir or self.run.directory)
        if folder.resolve() == self.run.directory.resolve():
            self.run.files.add(*PROJECTOR)
        write_projector(folder, embedding)
