"""How far a small image is enlarged. Only the standard library."""

from __future__ import annotations


def covering(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width to which an image is enlarged to cover `least`; a larger one keeps its own."""
    scale = max(side / own for side, own in zip(least, size, strict=True))
    if scale <= 1:
        return size
    height, width = (max(side, round(own * scale)) for side, own in zip(least, size, strict=True))
    return height, width
