"""From values of more than 8 bits to grey levels, by a window: a centre and a width. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Window = tuple[float, float]  # centre and width, in the units of the image
_PIECE = 2**18  # pixels that are windowed at once: as floats they take eight times the memory


def windowed(values: npt.NDArray[Any], window: Window) -> npt.NDArray[np.uint8]:
    """Grey levels from 0 at centre - width / 2 to 255 at centre + width / 2, clipped; NaN is 0.

    That is LINEAR_EXACT of DICOM (PS3.3 C.11.2.1.3.2).
    """
    centre, width = window
    levels = (values.astype(np.float64) - (centre - width / 2)) * 255 / width  # in this order whole numbers stay exact
    return np.nan_to_num(np.clip(levels.round(), 0, 255)).astype(np.uint8)


def in_pieces(shape: Sequence[int]) -> Iterator[slice]:
    """Rows of an image (H, W, …), a few at a time."""
    rows = max(1, _PIECE // max(int(np.prod(shape[1:])), 1))
    for top in range(0, shape[0], rows):
        yield slice(top, top + rows)
