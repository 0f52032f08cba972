"""Colours of classes, the same in pictures and in mask files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlx.data.ignored import IGNORED
from tlx.measures.colours import distinct_colour
from tlx.tasks.segmentation.background import background_of

IGNORED_COLOUR = (255, 255, 255)
_BACKGROUND = (0, 0, 0)


def palette(class_names: Sequence[str]) -> np.ndarray:
    """Return a colour for each class, uint8 (K, 3): black for the background, distinct ones for the others.

    Args:
        class_names: Class names in the order of the outputs, at most 255.
    """
    background = background_of(class_names)
    others = iter(range(len(class_names)))
    colours = [_BACKGROUND if i == background else distinct_colour(next(others)) for i in range(len(class_names))]
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
