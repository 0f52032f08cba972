"""A sheet of predicted images, each below what was predicted: to see at a glance whether predictions make sense."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlx.base.errors import TlxError
from tlx.base.printable import counted
from tlx.measures.drawing import figure_of
from tlx.measures.sheet import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 30  # images
_COLUMNS, _SIDE = 5, 200  # images in a row; pixels of the longer side of each


class OnASheet(ABC):
    """Predictions that are drawn side by side."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {counted(len(self), 'image', 'images')}>"

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def summary(self) -> list[str]:
        """Return what was predicted, for a terminal: a table of classes, and images to look at."""

    def to_look_at(self) -> list[int]:
        """Return the images in the order in which a person should look at them."""
        return list(range(len(self)))

    @abstractmethod
    def captioned(self, i: int) -> tuple[str, np.ndarray]:
        """Return what was predicted for an image, in one line or several, and the image: uint8 (H, W, 3)."""

    def sheet(self, most: int = MOST, order: Sequence[int] | None = None) -> np.ndarray:
        """Return the first images as one picture, uint8 (H, W, 3). Only these are read again.

        Args:
            most: Number of images at most.
            order: The images, first ones first; None: as they were given.

        Raises:
            TlxError: There is no image, or one cannot be read again.
        """
        if not (count := min(most, len(self))):
            raise TlxError("expected predictions of at least one image to show, got none")
        images = range(count) if order is None else order[:count]
        return contact_sheet([self.captioned(i) for i in images], min(_COLUMNS, count), _SIDE)

    def show(self, most: int = MOST) -> Figure:
        """Return that picture as a figure; a notebook shows it, `savefig("predictions.png")` writes it.

        Args:
            most: Number of images at most.

        Raises:
            TlxError: There is no image, or one cannot be read again.
        """
        return figure_of(self.sheet(most))
