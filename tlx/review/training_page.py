"""A page of training images as an epoch draws them: resized, cropped and augmented."""

from __future__ import annotations

import math

import numpy as np

from tlx.data.datamodule import ImageDataModule
from tlx.data.splits.samples import Sample
from tlx.measures.sections import Picture
from tlx.measures.sheet import contact_sheet
from tlx.tasks.shown import showable

NAME = "training_images"
SHOWN, _COLUMNS = 24, 6
_LARGEST, _SMALLEST = 200, 96  # pixels of the longer side on the page


def training_page(data: ImageDataModule) -> Picture:
    """Return the page: images evenly spaced in the order of the training split, as the first epoch draws them."""
    return Picture(NAME, lambda: _page(data))


def _page(data: ImageDataModule) -> np.ndarray:
    samples = data.splits["train"].samples
    chosen = sorted({round(i * (len(samples) - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    images = [_enlarged(showable(image)) for image in data.training_images(chosen)]
    cells = [(_caption(samples[i], data.class_names), image) for i, image in zip(chosen, images, strict=True)]
    return contact_sheet(cells, _COLUMNS, min(_LARGEST, max(max(image.shape[:2]) for image in images)))


def _caption(sample: Sample, class_names: list[str]) -> str:
    """Return the class of an image that has one, otherwise its name."""
    is_class = isinstance(sample.target, int) and 0 <= sample.target < len(class_names)
    return class_names[sample.target] if is_class else sample.name


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) with whole pixels repeated until its longer side is visible."""
    times = math.ceil(_SMALLEST / max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)
