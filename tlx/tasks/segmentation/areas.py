"""How much of a mask each class covers, and in how many pieces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tlx.data.reading.windows import in_pieces


class ClassArea(NamedTuple):
    """The area of a class in a mask: pixels, their fraction of the mask, and connected components.

    Components are connected by sides or corners of pixels (8-connected).
    """

    pixels: int
    share: float
    components: int


def class_areas(mask: np.ndarray, classes: int) -> list[ClassArea]:
    """Return the area of each class in a mask, uint8 (H, W)."""
    from scipy import ndimage

    pieces = (mask[rows].ravel() for rows in in_pieces(mask.shape))  # numpy makes indices of 8 bytes of them
    counts = sum((np.bincount(piece, minlength=256) for piece in pieces), np.zeros(256, int))[:classes].tolist()
    boxes = ndimage.find_objects(mask + np.uint8(1), max_label=classes)  # value 0 would belong to no object
    corners = np.ones((3, 3), dtype=bool)
    areas = []
    for i, (pixels, box) in enumerate(zip(counts, boxes, strict=True)):
        components = 0 if box is None else ndimage.label(mask[box] == i, corners)[1]
        areas.append(ClassArea(pixels, pixels / max(mask.size, 1), components))
    return areas
