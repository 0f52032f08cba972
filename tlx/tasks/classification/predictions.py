"""Class names and probabilities for image files."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from tlx.base.legible import legible
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import Window
from tlx.records.prediction_columns import CONFIDENCE, IMAGE, PREDICTED, probability_columns
from tlx.records.prediction_file import write_table
from tlx.tasks.contact_sheet import OnASheet


@dataclass(frozen=True, repr=False)
class Predictions(OnASheet):
    """Predictions for images.

    Args:
        paths: The files in the order in which they were given; files of a folder are sorted by name.
        class_names: Class names in the order of the columns.
        probabilities: (N, num_classes), rows sum to 1.
        window: The window in which images are shown, the one in which the network saw them.
    """

    paths: list[Path]
    class_names: list[str]
    probabilities: Tensor
    window: Window | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.class_names[i] for i in self.probabilities.argmax(dim=1).tolist()]

    def captioned(self, i: int) -> tuple[str, np.ndarray]:
        """Return name, class and its probability of an image, and the image: uint8 (H, W, 3)."""
        caption = f"{legible(self.paths[i].name)}\n{self.labels[i]} {float(self.probabilities[i].max()):.2f}"
        return caption, read_pixels(self.paths[i], window=self.window)

    def save(self, path: str | Path) -> None:
        """Write the table, see `to_csv`."""
        self.to_csv(path)

    def to_csv(self, path: str | Path) -> None:
        """Write the columns `image, predicted, confidence` and one column of probabilities per class.

        Raises:
            TlxError: The file cannot be written, or the path is not a regular file.
        """
        top = self.probabilities.max(dim=1).values.tolist()
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([IMAGE, PREDICTED, CONFIDENCE, *probability_columns(self.class_names)])
        for image, label, p, row in zip(self.paths, self.labels, top, self.probabilities.tolist(), strict=True):
            writer.writerow([image, label, f"{p:.6f}", *(f"{x:.6f}" for x in row)])
        write_table(Path(path).expanduser(), text.getvalue())
