"""Masks as palette PNG: the value of a pixel is its class, the palette its colour."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tlx.tasks.segmentation.colours import mask_palette


def encoded(mask: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Return a mask, uint8 (H, W), as the content of a PNG file."""
    image = Image.fromarray(mask)
    image.putpalette(mask_palette(class_names).tobytes())  # the mode becomes P, the values stay
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def decoded(content: bytes) -> np.ndarray:
    """Return the mask, uint8 (H, W), of `encoded`, of any size: Pillow's limit on pixels is for files of others."""
    with PngImageFile(io.BytesIO(content)) as image:
        return np.array(image)
