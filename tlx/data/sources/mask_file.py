"""A mask in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tlx.base.errors import TlxError
from tlx.data.mask_labels import Mask
from tlx.data.reading.labelme import read_labelme
from tlx.data.reading.mask_facts import OUTLINES
from tlx.data.reading.mask_values import read_values, upright
from tlx.data.sources.mask_codes import ClassCodes


@dataclass(frozen=True, slots=True, repr=False)
class MaskFile(Mask):
    """A mask whose values become classes when it is read.

    Args:
        path: A picture, or a file of labelme.
        name: What a person calls it: the path relative to the set's root.
        codes: Which value means which class.
        counts: Pixels of each class.
        turn: EXIF orientation, 1 to 8, of the image that lay as in its file when the mask was drawn.
        size: Of the file in bytes.
        fault: Why it cannot be used; None: nothing is wrong.
    """

    path: Path
    name: str
    codes: ClassCodes = field(compare=False)
    counts: Mapping[int, int] = field(default_factory=dict)
    turn: int = 1
    size: int = -1
    fault: str | None = None

    @property
    def pixel_counts(self) -> Mapping[int, int]:
        """Pixels of each class that the mask shows."""
        return self.counts

    @property
    def problem(self) -> str | None:
        """Why the mask cannot be used."""
        return self.fault

    def read(self) -> np.ndarray:
        """Return the class of each pixel, uint8 (H, W), upright like its image.

        Raises:
            TlxError: The mask has a fault, or its file is missing or broken.
        """
        if self.fault is not None:
            raise TlxError(f"{self.path}: {self.fault}")
        if self.path.suffix.lower() == OUTLINES:
            return upright(self._outlined(), self.turn)
        return upright(self.codes.apply(read_values(self.path)), self.turn)

    def _outlined(self) -> np.ndarray:
        outlines = read_labelme(self.path)
        labels = outlines.labels
        places = {label: place for place, label in enumerate(labels, start=1)}
        classes = [self.codes.class_of(label) for label in (None, *labels)]
        return np.array(classes, dtype=np.uint8)[outlines.drawn(places.__getitem__)]

    def __repr__(self) -> str:
        """Return what the label depends on, the same wherever the set lies."""
        return f"MaskFile({self.name!r}, {self.size}, {self.turn}, {self.codes.digest})"
