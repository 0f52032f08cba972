"""Predicted masks for image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tlx.base.errors import TlxError
from tlx.base.files import write_text, writing
from tlx.base.legible import legible
from tlx.base.printable import aligned, one_line, shortened
from tlx.data.reading.images import read_image
from tlx.data.reading.windows import Window
from tlx.records.prediction_columns import AREAS
from tlx.records.prediction_file import csv_lines, write_sheet, write_table
from tlx.records.prediction_folder import SHEET, PredictionFolder, is_table
from tlx.tasks.contact_sheet import OnASheet
from tlx.tasks.dense.mirrored_names import mirrored_names
from tlx.tasks.segmentation.areas import ClassArea, class_areas
from tlx.tasks.segmentation.colours import palette
from tlx.tasks.segmentation.mask_files import decoded, encoded
from tlx.tasks.segmentation.overlays import overlay

_NAMED = 3  # classes in a caption

_CLASSES = 20  # that a summary names


@dataclass(frozen=True, repr=False)
class MaskPredictions(OnASheet):
    """Predicted masks for images.

    Args:
        paths: The files in the order in which they were given; files of a folder are sorted by name.
        class_names: Class names; the index of a class is the value of its pixels.
        masks: The mask of each image as PNG, in which it takes a few hundredths of its memory.
        window: The window in which overlays show images, the one in which the network saw them.
    """

    paths: list[Path]
    class_names: list[str]
    masks: list[bytes]
    window: Window | None = None

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        class_names: Sequence[str],
        masks: Iterable[np.ndarray],
        window: Window | None = None,
    ) -> MaskPredictions:
        """Return predictions from masks, each uint8 (H, W), of which one at a time is in memory."""
        held = [encoded(mask, class_names) for _, mask in zip(paths, masks, strict=True)]
        return cls(list(paths), list(class_names), held, window)

    def __len__(self) -> int:
        return len(self.paths)

    def mask(self, i: int) -> np.ndarray:
        """Return the classes of the pixels of an image, uint8 (H, W)."""
        return decoded(self.masks[i])

    def captioned(self, i: int) -> tuple[str, np.ndarray]:
        """Return the name of an image, its largest classes, and the image with its mask: uint8 (h, w, 3)."""
        found = class_areas(self.mask(i), len(self.class_names))
        shares = sorted(((area.share, name) for area, name in zip(found, self.class_names, strict=True)), reverse=True)
        shown = ", ".join(f"{name} {100 * share:.0f} %" for share, name in shares[:_NAMED] if share)
        return f"{legible(self.paths[i].name)}\n{shown}", self._overlay(i)

    def areas(self) -> Iterator[tuple[Path, str, ClassArea]]:
        """Yield for each image and class the file, the name of the class, and its area; 0 for an absent class."""
        for i, path in enumerate(self.paths):
            for name, area in zip(self.class_names, class_areas(self.mask(i), len(self.class_names)), strict=True):
                yield path, name, area

    def summary(self) -> list[str]:
        """Return the mean share of each class of an image's pixels and the number of images with it, largest first."""
        shares = np.array([area.share for _, _, area in self.areas()]).reshape(len(self), -1)
        mean, images = shares.mean(axis=0), (shares > 0).sum(axis=0)
        order = (-mean).argsort(kind="stable")[:_CLASSES]
        rows = [(shortened(one_line(self.class_names[k]), 32), f"{mean[k]:.1%}", f"{images[k]:,}") for k in order]
        return aligned([("class", "mean share", "images"), *rows], right=(1, 2))

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each image and class: image, class, pixels, share of the image, connected components.

        Raises:
            TlxError: The file cannot be written, or the path is not a regular file.
        """
        write_table(Path(path).expanduser(), self._areas_table())

    def save(self, folder: str | Path) -> None:
        """Write `masks/NAME.png`, `overlays/NAME.jpg`, `areas.csv`, `classes.csv` and `sheet.png` into a folder.

        If its name ends in `.csv`, it is a file, and only the table of areas is written, as by `to_csv`.

        The names are those of the images below their common folder. Masks and tables are there before the images are
        read again for the overlays. Files of an earlier prediction are removed.

        Raises:
            TlxError: The folder holds files that `tlx predict` has not written, a file cannot be written, or an image
                cannot be read again.
        """
        place, names = Path(folder).expanduser(), mirrored_names(self.paths)
        if is_table(place):
            self.to_csv(place)
            return
        masks, overlays = [f"masks/{name}.png" for name in names], [f"overlays/{name}.jpg" for name in names]
        PredictionFolder(place).start(["areas.csv", "classes.csv", SHEET, *masks, *overlays])
        for name, content in zip(masks, self.masks, strict=True):
            with writing(place / name) as file:
                file.write(content)
        write_text(place / "classes.csv", self._classes_table())
        write_text(place / "areas.csv", self._areas_table())
        for i, name in enumerate(overlays):
            shown = Image.fromarray(self._overlay(i))
            with writing(place / name) as file:  # colours of half the size would blur the borders
                shown.save(file, format="JPEG", quality=90, subsampling=0)
        if len(self):
            write_sheet(place / SHEET, self.sheet())

    def _overlay(self, i: int) -> np.ndarray:
        image = read_image(self.paths[i], 3, window=self.window).permute(1, 2, 0).numpy()
        mask = self.mask(i)
        if image.shape[:2] != mask.shape:
            got = " x ".join(map(str, reversed(image.shape[:2])))
            expected = " x ".join(map(str, reversed(mask.shape)))
            raise TlxError(f"expected {one_line(self.paths[i])} of {expected} pixels, as predicted, got {got}")
        return overlay(image, mask, self.class_names)

    def _areas_table(self) -> str:
        rows = (
            [str(path), name, area.pixels, f"{area.share:.6f}", area.components] for path, name, area in self.areas()
        )
        return "".join(csv_lines(AREAS, rows))

    def _classes_table(self) -> str:
        colours = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in palette(self.class_names).tolist())
        rows = zip(range(len(self.class_names)), self.class_names, colours, strict=True)
        return "".join(csv_lines(("index", "name", "colour"), rows))
