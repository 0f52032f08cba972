"""Class names and probabilities for image files."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import aligned, counted, enumerated, one_line, shortened
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import Window
from tlx.records.prediction_columns import CONFIDENCE, DISTANCE, IMAGE, PREDICTED, UNKNOWN, probability_columns
from tlx.records.prediction_file import write_sheet, write_table
from tlx.tasks.contact_sheet import OnASheet

log = logging.getLogger("tlx")
_CLASSES, _IMAGES = 20, 5  # that a summary names
_ON_SHEET = 60  # images


@dataclass(frozen=True, repr=False)
class Predictions(OnASheet):
    """Predictions for images.

    Args:
        paths: The files in the order in which they were given; files of a folder are sorted by name.
        class_names: Class names in the order of the columns.
        probabilities: (N, num_classes), rows sum to 1.
        window: The window in which images are shown, the one in which the network saw them.
        distances: Distance of each image to the nearest known one (N,), see `tlx.measures.likeness`; None: unknown.
        limit: The distance beyond which an image is unlike all known ones.
    """

    paths: list[Path]
    class_names: list[str]
    probabilities: Tensor
    window: Window | None = None
    distances: Tensor | None = None
    limit: float = math.inf

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.class_names[i] for i in self.probabilities.argmax(dim=1).tolist()]

    @property
    def confidence(self) -> Tensor:
        """The probability of the most probable class of each image (N,)."""
        return self.probabilities.amax(dim=1)

    @property
    def unknown(self) -> list[bool]:
        """Whether each image is unlike all known ones; always False where no distances are known."""
        return [False] * len(self) if self.distances is None else (self.distances > self.limit).tolist()

    def with_distances(self, distances: Tensor, limit: float) -> Predictions:
        """Return these predictions with distances (N,) and their limit."""
        return replace(self, distances=distances, limit=limit)

    def to_look_at(self) -> list[int]:
        """Return the images, least certain first."""
        return self.confidence.argsort(stable=True).tolist()

    def summary(self) -> list[str]:
        """Return the number of images of each predicted class, the least certain images, and those unlike any known."""
        counts = Counter(self.labels).most_common()
        cells = [(shortened(one_line(name), 32), f"{count:,}") for name, count in counts]
        lines = aligned([("predicted", "images"), *cells[:_CLASSES]], right=(1,))
        if len(cells) > _CLASSES:
            rest = sum(count for _, count in counts[_CLASSES:])
            lines.append(f"and {counted(len(cells) - _CLASSES, 'more class', 'more classes')} with {rest:,}")
        if len(self) > 1 and len(self.class_names) > 1:
            lines.append(f"least certain: {enumerated([*map(self._named, self.to_look_at()[:_IMAGES])])}")
        if self.distances is not None and any(self.unknown):
            far = [i for i in self.distances.argsort(descending=True, stable=True).tolist() if self.unknown[i]]
            names = enumerated([legible(self.paths[i].name) for i in far], _IMAGES)
            lines.append(f"unlike anything seen in training: {len(far):,} of {len(self):,}: {names}")
        return lines

    def _named(self, i: int) -> str:
        return f"{legible(self.paths[i].name)} ({one_line(self.labels[i])} {float(self.confidence[i]):.2f})"

    def captioned(self, i: int) -> tuple[str, np.ndarray]:
        """Return name, class and its probability of an image, and the image: uint8 (H, W, 3)."""
        best = self.class_names[int(self.probabilities[i].argmax())]
        unlike = self.distances is not None and float(self.distances[i]) > self.limit
        caption = f"{legible(self.paths[i].name)}\n{best} {float(self.probabilities[i].max()):.2f}"
        caption += ", unlike training" * unlike
        return caption, read_pixels(self.paths[i], window=self.window)

    def save(self, path: str | Path) -> None:
        """Write the table, see `to_csv`, and beside it a picture of the least certain images, `.png`.

        There is no picture of an image that cannot be read again, or in place of a file that tlx did not write.

        Raises:
            TlxError: The table cannot be written.
        """
        place = Path(path).expanduser()
        self.to_csv(place)
        if not place.is_file() or place.suffix == ".png" or not len(self):
            return
        try:
            kept = not write_sheet(place.with_suffix(".png"), self.sheet(_ON_SHEET, self.to_look_at()))
        except TlxError as error:
            log.warning("no contact sheet: %s", error)
            return
        if kept:
            log.warning("no contact sheet: tlx did not write %s", one_line(place.with_suffix(".png")))

    def to_csv(self, path: str | Path) -> None:
        """Write the columns `image, predicted, confidence` and one column of probabilities per class.

        Where distances are known, `distance` and `unknown` (yes or no) come before the probabilities.

        Raises:
            TlxError: The file cannot be written, or the path is not a regular file.
        """
        columns: dict[str, list[object]] = {
            IMAGE: list(self.paths),
            PREDICTED: list(self.labels),
            CONFIDENCE: [f"{p:.6f}" for p in self.confidence.tolist()],
        }
        if self.distances is not None:
            columns[DISTANCE] = [f"{one:.6f}" for one in self.distances.tolist()]
            columns[UNKNOWN] = ["yes" if one else "no" for one in self.unknown]
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([*columns, *probability_columns(self.class_names)])
        for *begin, row in zip(*columns.values(), self.probabilities.tolist(), strict=True):
            writer.writerow([*begin, *(f"{x:.6f}" for x in row)])
        write_table(Path(path).expanduser(), text.getvalue())
