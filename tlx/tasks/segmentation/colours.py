"""Colours of classes, the same in pictures and in mask files."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from tlx.data.ignored import IGNORED
from tlx.tasks.segmentation.background import background_of

IGNORED_COLOUR = (255, 255, 255)
_BACKGROUND = (0, 0, 0)
# S. Trubetskoy's list of distinct colours, without black, white and gray.
_DISTINCT = (
    *("e6194b", "3cb44b", "ffe119", "4363d8", "f58231", "911eb4", "42d4f4", "f032e6", "bfef45", "fabed4"),
    *("469990", "dcbeff", "9a6324", "fffac8", "800000", "aaffc3", "808000", "ffd8b1", "000075"),
)
_GOLDEN = 0.618033988749895  # fraction of the circle of hues between one further colour and the next


def palette(class_names: Sequence[str]) -> np.ndarray:
    """Return a colour for each class, uint8 (K, 3): black for the background, distinct ones for the others.

    Args:
        class_names: Class names in the order of the outputs, at most 255.
    """
    background = background_of(class_names)
    others = iter(range(len(class_names)))
    colours = [_BACKGROUND if i == background else _colour(next(others)) for i in range(len(class_names))]
    return np.array(colours, dtype=np.uint8).reshape(-1, 3)


def mask_palette(class_names: Sequence[str]) -> np.ndarray:
    """Return the palette of a mask file, uint8 (256, 3): colours of classes, then gray, then that of ignored pixels."""
    colours = np.full((256, 3), 128, dtype=np.uint8)
    colours[: len(class_names)] = palette(class_names)
    colours[IGNORED] = IGNORED_COLOUR
    return colours


def coloured(mask: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Return a mask, uint8 (H, W), in the colours of its classes, uint8 (H, W, 3)."""
    shown: np.ndarray = mask_palette(class_names)[mask]
    return shown


def _colour(number: int) -> tuple[int, ...]:
    if number < len(_DISTINCT):
        return tuple(bytes.fromhex(_DISTINCT[number]))
    beyond = number - len(_DISTINCT)
    saturation, value = (1.0, 0.65, 0.4)[beyond % 3], (0.95, 0.7, 0.5)[beyond // 3 % 3]
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(beyond * _GOLDEN % 1, saturation, value))
