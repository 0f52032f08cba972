"""JPEGs decoded by simplejpeg, where it is installed: the same pixels as Pillow's, bit for bit, in less time.

Both are built on libjpeg-turbo and use its accurate transform and smooth upsampling. Only colour and grey images are
decoded here. Of a file that is damaged in any way simplejpeg returns nothing, and Pillow decides what it is.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Pixels = npt.NDArray[np.uint8]

PACKAGE = "simplejpeg"
_COLOURS = {"L": "GRAY", "RGB": "RGB"}


def decoded(image: Image.Image, path: str | os.PathLike[str], by: int, mode: str) -> Pixels | None:
    """Return the pixels of an image as they lie in the file, uint8 (H, W) or (H, W, 3); None: Pillow has to decode it.

    Args:
        image: The image, opened and checked by Pillow.
        path: Its file.
        by: By how much its sides are divided, which they are evenly: 1, 2, 4 or 8.
        mode: The wanted mode of Pillow.
    """
    decode = _decoder()
    if decode is None or image.format != "JPEG" or image.mode != mode or mode not in _COLOURS:
        return None
    height, width = image.height // by, image.width // by
    try:
        pixels: Pixels = decode(
            Path(path).read_bytes(),
            _COLOURS[mode],
            fastdct=False,
            fastupsample=False,
            min_height=height,
            min_width=width,
        )
    except Exception:  # whatever it raises, Pillow says what is wrong with the file, or reads it all the same
        return None
    if mode == "L":
        pixels = pixels.reshape(pixels.shape[:2])
    return pixels if pixels.shape[:2] == (height, width) else None


@functools.cache
def _decoder() -> Callable[..., Any] | None:
    try:
        found: Callable[..., Any] = import_module(PACKAGE).decode_jpeg
    except (ImportError, AttributeError, OSError):
        return None
    return found
