"""An image with its label drawn on it: boxes, or a mask laid over it; a class is not drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tlx.base.legible import legible
from tlx.data.box_labels import CLASS, IGNORE, NO_OBJECT, Boxes
from tlx.data.mask_labels import Mask
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import Window
from tlx.data.splits.samples import ImageSet, Sample, Split
from tlx.measures.box_drawing import DrawnBox, with_boxes
from tlx.measures.colours import distinct_colour
from tlx.measures.page import fitted


def picture_of(images: ImageSet, split: Split, sample: Sample, window: Window | None, side: int) -> np.ndarray:
    """Return an image of a set with its label, uint8 (h, w, 3), of at most `side` pixels."""
    moves = images.labels.moves
    pixels = _pixels(split, sample, window, None if moves or sample.region else side)
    return with_label(pixels, sample.target, images.class_names, side)


def with_label(pixels: np.ndarray, label: Any, class_names: list[str], side: int) -> np.ndarray:
    """Return an image with its label, uint8 (h, w, 3), of at most `side` pixels.

    Args:
        pixels: uint8 (H, W, 3).
        label: A class, boxes or a mask; or as a batch holds it: boxes (N, 6), a mask uint8 (H, W).
        class_names: Class names.
        side: Pixels of the longer side.
    """
    if isinstance(label, Boxes):
        drawn = zip(label.boxes(), label.classes, map(bool, label.ignored), strict=True)
        return with_boxes(pixels, _drawn(list(drawn), class_names), side, side)
    if isinstance(label, Mask):
        label = label.read()
    if isinstance(label, np.ndarray) and label.dtype == np.uint8 and label.shape == pixels.shape[:2]:
        from tlx.tasks.segmentation.overlays import overlay

        return fitted(overlay(pixels, label, class_names), side)
    if isinstance(label, np.ndarray) and label.ndim == 2:
        rows = [row for row in label.tolist() if row[CLASS] != NO_OBJECT]
        boxes = [((r[0], r[1], r[2], r[3]), int(r[CLASS]), bool(r[IGNORE])) for r in rows]
        return with_boxes(pixels, _drawn(boxes, class_names), side, side)
    return fitted(pixels, side)


def _drawn(boxes: list[tuple[tuple[float, float, float, float], int, bool]], class_names: list[str]) -> list[DrawnBox]:
    """Return the boxes to draw, the smallest first: they lie on top."""
    found = [
        ((box[2] - box[0]) * (box[3] - box[1]), DrawnBox(box, distinct_colour(one), legible(class_names[one]), ignored))
        for box, one, ignored in boxes
    ]
    return [drawn for _, drawn in sorted(found, key=lambda pair: pair[0])]


def _pixels(split: Split, sample: Sample, window: Window | None, min_side: int | None) -> np.ndarray:
    """Return an image, or its region, uint8 (H, W, 3)."""
    if isinstance(sample.source, Path):
        pixels: np.ndarray = read_pixels(sample.source, min_side=min_side, window=window)
    else:
        assert split.pixels is not None
        planes: np.ndarray = split.pixels[sample.source].numpy()[:3]
        pixels = np.ascontiguousarray((planes if len(planes) == 3 else planes[[0, 0, 0]]).transpose(1, 2, 0))
    if sample.region is None:
        return pixels
    top, left, height, width = sample.region
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])
