"""A review in any logger of Lightning's: figures, and pictures where it takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pytorch_lightning.loggers import Logger

from tlx.review.sinks.base import Sink, scalars


class LoggerSink(Sink):
    """Writes a review by what Lightning's loggers have in common.

    Args:
        logger: Of the run.
        step: The step to log at.
    """

    def __init__(self, logger: Logger, step: int) -> None:
        self.logger, self.step, self.name = logger, step, type(logger).__name__

    def write_figures(self, figures: Mapping[str, float], compared: Sequence[str]) -> None:
        """Write one point for each figure that a chart shows."""
        self.logger.log_metrics(scalars(figures, compared), self.step)

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3), as `review/NAME` to loggers that take pictures."""
        log_image = getattr(self.logger, "log_image", None)
        if log_image is not None:
            log_image(f"review/{name}", [pixels], self.step)

    def close(self) -> None:
        """Write what the logger holds back."""
        self.logger.save()
