"""A review in MLflow. Lightning's MLflow logger accepts no pictures."""

from __future__ import annotations

import numpy as np

from tlx.review.sinks.loggers import LoggerSink


class MlFlowSink(LoggerSink):
    """Writes pictures as artifacts."""

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3), as the artifact `review/NAME.png`."""
        client, run = self.logger.experiment, self.logger.inner.run_id  # type: ignore[union-attr]
        client.log_image(run, pixels, artifact_file=f"review/{name}.png")
