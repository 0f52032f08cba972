"""A mask laid over its image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tlx.tasks.segmentation.background import background_of
from tlx.tasks.segmentation.colours import coloured

LONGER_SIDE = 2_048  # pixels, at most
_OPACITY = 0.5
_LINES_AT_ONCE = 128  # of the reduced image


def overlay(image: np.ndarray, mask: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Return an image with its mask half transparent on it and the borders of regions drawn, uint8 (h, w, 3).

    The background is left clear. Both are reduced to a longer side of at most LONGER_SIDE pixels.

    Args:
        image: uint8 (H, W, 3).
        mask: Classes, uint8 (H, W).
        class_names: Class names.
    """
    height, width = mask.shape
    if max(height, width) > LONGER_SIDE:
        scale = LONGER_SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = _reduced(image, size)
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    colours = coloured(mask, class_names)
    shown = (image * (1 - _OPACITY) + colours * _OPACITY).astype(np.uint8)
    borders = _borders(mask)
    shown[borders] = colours[borders]
    background = background_of(class_names)
    if background is not None:
        shown[mask == background] = image[mask == background]
    return shown


def _reduced(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (H, W, 3) resized to a smaller width and height, in strips: Pillow copies what it resizes."""
    height, (columns, lines) = image.shape[0], size
    strips = []
    for first in range(0, lines, _LINES_AT_ONCE):
        last = min(first + _LINES_AT_ONCE, lines)
        top, bottom = first * height / lines, last * height / lines
        strip = Image.fromarray(image[math.floor(top) : math.ceil(bottom)])
        box = (0, top - math.floor(top), strip.width, bottom - math.floor(top))
        strips.append(np.asarray(strip.resize((columns, last - first), Image.Resampling.BOX, box=box)))
    return np.concatenate(strips)


def _borders(mask: np.ndarray) -> np.ndarray:
    """Return which pixels of a mask (H, W) have a neighbour of another class at one of their sides."""
    found = np.zeros(mask.shape, dtype=bool)
    rows, columns = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= columns
    found[:, :-1] |= columns
    return found
