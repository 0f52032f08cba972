"""Tell oriented boxes from outlines with four corners: both have rows of a class and eight numbers. No torch here.

Exports of oriented boxes have such rows only, and their corners are rectangles in pixels, some of them rotated.
Outlines of four corners, as of number plates, are seldom rectangles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.data.reading.pixels import upright_size
from tlx.data.sources.yolo_file import Outline, YoloFile

_LOOKED_AT = 200  # outlines
_RECTANGLES = 0.9  # of the outlines, from which they are oriented boxes
_PIXELS, _SHARE = 2.0, 0.05  # by which a rectangle may be off: pixels, or share of its longer side
_ANGLE = math.sin(math.radians(5))  # by which its angles may be off


def are_oriented(files: Iterable[tuple[Path, YoloFile]]) -> bool:
    """Return whether the rows of a set are oriented boxes.

    Args:
        files: Images with their labels; the sizes of a few images are read.
    """
    known = [(image, held) for image, held in files if held.classes]
    if not known or any(len(held.corners) < len(held.classes) for _, held in known):
        return False
    looked, rectangles, rotated = 0, 0, 0
    for image, held in known:
        try:
            height, width = upright_size(image)
        except TlxError:
            continue
        for outline in held.corners:
            looked += 1
            straight = _is_rectangle(outline, width, height)
            rectangles += straight is not None
            rotated += straight is False
        if looked >= _LOOKED_AT:
            break
    return rotated > 0 and rectangles >= _RECTANGLES * looked


def _is_rectangle(outline: Outline, width: int, height: int) -> bool | None:
    """Return whether a rectangle has edges along the image; None: the outline is no rectangle."""
    points = [complex(x * width, y * height) for x, y in zip(outline[::2], outline[1::2], strict=True)]
    one, other = points[1] - points[0], points[2] - points[1]
    longer = max(abs(one), abs(other))
    allowed = max(_PIXELS, _SHARE * longer)
    if abs(points[0] + points[2] - points[1] - points[3]) > allowed:
        return None
    lean = abs((one * other.conjugate()).real)  # the product of the sides and the cosine between them
    if lean > max(_ANGLE * abs(one) * abs(other), _PIXELS * longer):
        return None
    side = one if abs(one) == longer else other
    return min(abs(side.real), abs(side.imag)) <= allowed
