"""Predicted boxes for image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from tlx.base.files import write_text, writing
from tlx.base.legible import ESCAPED, legible
from tlx.base.printable import aligned, one_line, shortened
from tlx.data.box_labels import CLASS
from tlx.data.reading.images import read_image
from tlx.data.reading.windows import Window
from tlx.measures.box_drawing import DrawnBox, with_boxes
from tlx.measures.colours import distinct_colour
from tlx.records.prediction_columns import BOXES, count_columns
from tlx.records.prediction_file import csv_lines, write_sheet, write_table
from tlx.records.prediction_folder import SHEET, PredictionFolder, is_table
from tlx.tasks.contact_sheet import OnASheet
from tlx.tasks.dense.mirrored_names import mirrored_names
from tlx.tasks.detection.coco_results import coco_results
from tlx.tasks.detection.found import SCORE

_CLASSES = 20  # that a summary names


@dataclass(frozen=True, repr=False)
class BoxPredictions(OnASheet):
    """Predicted boxes for images.

    Args:
        paths: The files in the order in which they were given; files of a folder are sorted by name.
        class_names: Class names.
        found: The boxes of each image by falling score, float32 (n, 6): left, top, right and bottom in pixels of the
            upright image, class, score.
        thresholds: The score of each class (K,) from which a box is counted and drawn.
        window: The window in which overlays show images, the one in which the network saw them.
    """

    paths: list[Path]
    class_names: list[str]
    found: list[np.ndarray]
    thresholds: np.ndarray
    window: Window | None = None

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        class_names: Sequence[str],
        found: Iterable[Tensor],
        thresholds: Tensor,
        score_threshold: float | None = None,
        window: Window | None = None,
    ) -> BoxPredictions:
        """Return predictions from detections, each (D, 6), of which one image at a time is in memory.

        Args:
            paths: Image files.
            class_names: Class names.
            found: Detections of each image in its own pixels, highest score first.
            thresholds: The score of each class (K,) with the best F1 on validation.
            score_threshold: The score from which boxes are listed; None: the threshold of their class. A higher one
                replaces the thresholds of classes.
            window: The window in which overlays show images.
        """
        best = thresholds.float().cpu().numpy()
        listed = best if score_threshold is None else np.full_like(best, score_threshold)
        held = [_above(rows.float().numpy(), listed) for _, rows in zip(paths, found, strict=True)]
        return cls(list(paths), list(class_names), held, np.maximum(best, listed), window)

    def __len__(self) -> int:
        return len(self.paths)

    def boxes(self, i: int) -> np.ndarray:
        """Return left, top, right and bottom of the listed boxes of an image (n, 4), highest score first."""
        return self.found[i][:, :CLASS]

    def classes(self, i: int) -> np.ndarray:
        """Return the class of each of these boxes (n,), int64."""
        classes: np.ndarray = self.found[i][:, CLASS].astype(np.int64)
        return classes

    def scores(self, i: int) -> np.ndarray:
        """Return the score of each of these boxes (n,), in [0, 1]."""
        return self.found[i][:, SCORE]

    def counts(self, i: int) -> np.ndarray:
        """Return how many boxes of each class reach the threshold of their class in an image (K,)."""
        shown = _above(self.found[i], self.thresholds)
        return np.bincount(shown[:, CLASS].astype(np.int64), minlength=len(self.class_names))

    def captioned(self, i: int) -> tuple[str, np.ndarray]:
        """Return name and number of boxes of each class of an image, and the image with the boxes: uint8 (h, w, 3)."""
        counts = zip(self.counts(i).tolist(), self.class_names, strict=True)
        shown = ", ".join(f"{count} {name}" for count, name in counts if count)
        return f"{legible(self.paths[i].name)}\n{shown or 'no box'}", self._overlay(i)

    def summary(self) -> list[str]:
        """Return the number of boxes of each class and of images with them, most boxes first."""
        counts = np.array([self.counts(i) for i in range(len(self))]).reshape(len(self), -1)
        boxes, images = counts.sum(axis=0), (counts > 0).sum(axis=0)
        order = (-boxes).argsort(kind="stable")[:_CLASSES]
        rows = [(shortened(one_line(self.class_names[k]), 32), f"{boxes[k]:,}", f"{images[k]:,}") for k in order]
        return aligned([("class", "boxes", "images"), *rows], right=(1, 2))

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each image: image, number of boxes, number of boxes of each class.

        Raises:
            TlxError: The file cannot be written, or the path is not a regular file.
        """
        write_table(Path(path).expanduser(), "".join(self._counts_table()))

    def save(self, folder: str | Path) -> None:
        """Write `coco.json`, `boxes.csv`, `counts.csv`, `classes.csv`, `overlays/NAME.jpg`, `sheet.png` into a folder.

        If its name ends in `.csv`, it is a file, and only the table of counts is written, as by `to_csv`.

        The names are those of the images below their common folder. The tables are there before the images are read
        again for the overlays. Files of an earlier prediction are removed.

        Raises:
            TlxError: The folder holds files that `tlx predict` has not written, a file cannot be written, or an image
                cannot be read again.
        """
        place = Path(folder).expanduser()
        if is_table(place):
            self.to_csv(place)
            return
        overlays = [f"overlays/{name}.jpg" for name in mirrored_names(self.paths)]
        tables = {"boxes.csv": self._boxes_table(), "counts.csv": self._counts_table()}
        PredictionFolder(place).start([*tables, "classes.csv", "coco.json", SHEET, *overlays])
        write_text(place / "classes.csv", "".join(self._classes_table()))
        tables["coco.json"] = coco_results(self.paths, self.class_names, self.found)
        for name, lines in tables.items():
            with writing(place / name) as file:
                file.writelines(line.encode("utf-8", ESCAPED) for line in lines)
        for i, name in enumerate(overlays):
            shown = Image.fromarray(self._overlay(i))
            with writing(place / name) as file:  # colours of half the size would blur the labels
                shown.save(file, format="JPEG", quality=90, subsampling=0)
        if len(self):
            write_sheet(place / SHEET, self.sheet())

    def _overlay(self, i: int) -> np.ndarray:
        boxes = [
            DrawnBox((row[0], row[1], row[2], row[3]), distinct_colour(int(row[CLASS])), self._label(row))
            for row in _above(self.found[i], self.thresholds).tolist()
        ]
        return with_boxes(read_image(self.paths[i], 3, window=self.window).permute(1, 2, 0).numpy(), boxes)

    def _label(self, row: Sequence[float]) -> str:
        return f"{self.class_names[int(row[CLASS])]} {row[SCORE]:.2f}"

    def _boxes_table(self) -> Iterator[str]:
        rows = (
            [
                str(path),
                self.class_names[int(row[CLASS])],
                f"{row[SCORE]:.6f}",
                *(f"{edge:.2f}" for edge in row[:CLASS]),
            ]
            for path, found in zip(self.paths, self.found, strict=True)
            for row in found.tolist()
        )
        return csv_lines(BOXES, rows)

    def _counts_table(self) -> Iterator[str]:
        counts = ((str(path), self.counts(i).tolist()) for i, path in enumerate(self.paths))
        rows = ([path, sum(each), *each] for path, each in counts)
        return csv_lines(count_columns(self.class_names), rows)

    def _classes_table(self) -> Iterator[str]:
        rows = (
            [i, name, "#{:02x}{:02x}{:02x}".format(*distinct_colour(i)), f"{threshold:.6f}"]
            for i, (name, threshold) in enumerate(zip(self.class_names, self.thresholds.tolist(), strict=True))
        )
        return csv_lines(("index", "name", "colour", "threshold"), rows)


def _above(found: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return the detections (n, 6) that reach the score `least` (K,) of their class, without empty rows."""
    found = found[found[:, CLASS] >= 0]
    kept: np.ndarray = found[found[:, SCORE] >= least[found[:, CLASS].astype(np.int64)]]
    return kept
