"""Masks that labelme writes: a JSON file beside an image, with the outlines of objects."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tlx.base.errors import TlxError
from tlx.data.reading.pixels import max_pixels
from tlx.data.reading.polygons import Points, circle, draw

_MOST_BYTES = 2**28  # of a file, which may hold the image as well
_AREAS = ("polygon", "rectangle", "circle")


@dataclass(frozen=True)
class Outlines:
    """The objects of an image.

    Args:
        width: Of the image in pixels, as it was annotated.
        height: Likewise.
        shapes: Label and corners of each; later ones are on top.
    """

    width: int
    height: int
    shapes: tuple[tuple[str, Points], ...]

    @property
    def labels(self) -> list[str]:
        """The labels, each once, sorted."""
        return sorted({label for label, _ in self.shapes})

    def drawn(self, number: Callable[[str], int]) -> npt.NDArray[np.uint8]:
        """Return the mask, uint8 (H, W), 0 where no object is.

        Args:
            number: Of a label, 0 to 255.
        """
        return draw((self.width, self.height), ((points, number(label)) for label, points in self.shapes))


def read_labelme(path: str | os.PathLike[str]) -> Outlines:
    """Read a file of labelme. Shapes without an area (points, lines) are left out.

    Raises:
        TlxError: The file is missing, broken or none of labelme's.
    """
    try:
        if os.stat(path).st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES >> 20} MiB")
        held = json.loads(Path(path).read_bytes())
        width, height = int(held["imageWidth"] or 0), int(held["imageHeight"] or 0)
        if width < 1 or height < 1 or width * height > max_pixels():
            raise ValueError(f"it says that its image has {width} x {height} pixels")
        shapes = [(str(one["label"]), _corners(one)) for one in held["shapes"] if _kind(one) in _AREAS]
    except KeyError as error:
        raise TlxError(
            f"cannot read mask {os.fspath(path)}: expected a file of labelme, got none with {error}"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TlxError(f"cannot read mask {os.fspath(path)}: {' '.join(reason.split())}") from error
    return Outlines(width, height, tuple(shapes))


def _kind(shape: dict[str, Any]) -> str:
    return str(shape.get("shape_type") or "polygon")


def _corners(shape: dict[str, Any]) -> Points:
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if _kind(shape) == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    if _kind(shape) == "circle" and len(points) == 2:
        return circle(points[0], points[1])
    return points
