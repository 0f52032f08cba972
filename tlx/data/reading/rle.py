"""Masks as lengths of runs, as COCO writes them: column by column, outside first. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def decoded(counts: str | Sequence[int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which pixels are inside, (H, W).

    Args:
        counts: Lengths of runs that are outside and inside in turn, in pixels; or the text that pycocotools writes.
        size: Width and height in pixels.

    Raises:
        ValueError: The runs do not fill the mask.
    """
    width, height = size
    lengths = np.array(_lengths(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if (lengths < 0).any() or lengths.sum() != width * height:
        raise ValueError(f"runs of {lengths.sum():,} pixels do not fill {width} x {height}")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def _lengths(text: str) -> list[int]:
    """Read the text: each number in digits of 5 bits, the lowest first, written as 48 + digit, + 32 where more follow.

    From the fourth run on, it is the difference to the run before the last.
    """
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise ValueError(f"{character!r} is no part of runs")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:  # of a negative number
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    return lengths
