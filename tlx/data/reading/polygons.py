"""Draw outlines of objects into a mask. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Points = Sequence[tuple[float, float]]  # x and y in pixels


def draw(size: tuple[int, int], shapes: Iterable[tuple[Points, int]]) -> npt.NDArray[np.uint8]:
    """Return a mask, uint8 (H, W): 0, and the number of each outline in it; later ones are on top.

    Args:
        size: Width and height in pixels.
        shapes: Corners of each outline, in order, and its number, 0 to 255.
    """
    width, height = size
    canvas = np.zeros((height, width), dtype=np.uint8)
    for points, number in shapes:
        if len(points) >= 3:
            fill(canvas, points, number)
    return canvas


def fill(canvas: npt.NDArray[np.uint8], points: Points, number: int) -> None:
    """Give the pixels (H, W) inside an outline a number; where it crosses itself, inside is an odd number of crossings.

    Coordinates count from the corner of the image, as in COCO and labelme: the centre of the first pixel is (0.5, 0.5).
    A pixel is inside where its centre is, so outlines that share an edge share no pixel.

    Raises:
        ValueError: A coordinate is not finite.
    """
    height, width = canvas.shape
    x, y = np.array(points, dtype=np.float64).T
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a corner of an outline is no number")
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    first = _from_centre(np.minimum(y, next_y), height)  # of the rows whose centre line an edge crosses
    count = _from_centre(np.maximum(y, next_y), height) - first
    edge = np.repeat(np.arange(len(x)), count)
    if not len(edge):
        return
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    along = (row + 0.5 - y[edge]) / (next_y - y)[edge]
    column = _from_centre(x[edge] + along * (next_x - x)[edge], width)
    order = np.lexsort((column, row))  # a row is crossed an even number of times: in, out, in, out
    row, column = row[order], column[order]
    top, left, right = row[0], column.min(), column.max()
    changes = np.zeros((row[-1] - top + 1, right - left + 1), dtype=np.int32)
    np.add.at(changes, (row[0::2] - top, column[0::2] - left), 1)
    np.add.at(changes, (row[1::2] - top, column[1::2] - left), -1)
    inside = np.cumsum(changes, axis=1)[:, :-1] > 0
    canvas[top : row[-1] + 1, left:right][inside] = number


def circle(centre: tuple[float, float], edge: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the corners of a circle, given its centre and a point of its edge."""
    radius = math.dist(centre, edge)
    count = max(16, min(1000, math.ceil(2 * math.pi * radius)))
    turns = (2 * math.pi * step / count for step in range(count))
    return [(centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)) for turn in turns]


def _from_centre(place: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """The first pixel whose centre is at a place or beyond, at most `most`."""
    return np.clip(np.ceil(place - 0.5), 0, most).astype(np.int64)
