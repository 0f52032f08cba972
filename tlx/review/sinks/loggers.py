"""A review in any Lightning logger: figures, and pictures if the logger accepts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tlx.review.sinks.base import Sink, scalars
from tlx.training.run_logger import RunLogger


class LoggerSink(Sink):
    """Writes a review through the interface that all Lightning loggers share.

    Args:
        logger: The run's logger.
        step: The step to log at.
    """

    def __init__(self, logger: RunLogger, step: int) -> None:
        self.logger, self.step, self.name = logger, step, logger.name

    def write_figures(self, figures: Mapping[str, float], compared: Sequence[str]) -> None:
        """Log each charted figure as one point."""
        self.logger.log_metrics(scalars(figures, compared), self.step)

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3), as `review/NAME` if the logger accepts pictures."""
        self.logger.log_image(f"review/{name}", [pixels], self.step)

    def close(self) -> None:
        """Write what the logger has buffered."""
        self.logger.save()
