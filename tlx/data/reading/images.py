"""Read an image file of any format into an upright uint8 tensor with a given number of channels.

The channels are: 1 luma (ITU-R 601); 2 luma and alpha; 3 RGB; 4 RGBA; 5 or more: R, G, B repeated cyclically. Without
alpha, transparent images are composed on white.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from tlx.base.errors import TlxError
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import Window


def read_image(
    path: str | os.PathLike[str], channels: int = 3, min_side: int | None = None, window: Window | None = None
) -> Tensor:
    """Read one image.

    The first frame of an animation or a stack is read. EXIF orientation is applied; a damaged EXIF block is ignored.
    16-bit grey becomes value / 257; 32-bit integers are first clipped to 0..65535. Floats mean 0..1 if none is larger,
    otherwise 0..255, clipped; NaN becomes 0. Transparency of these images is ignored. With `window` all of them become
    255 * ((value - centre) / width + 1/2), clipped.

    DICOM is rescaled and shown in `window`, or else with the file's VOI LUT or first window; without any of these, from
    the smallest to the largest value, except that 8 bits stay unchanged. MONOCHROME1 is inverted. Of several frames the
    middle one is read.

    Args:
        path: The file. Its content determines how it is read, not its extension.
        channels: Number of channels, at least 1.
        min_side: Shorter side in pixels that a JPEG keeps when it is decoded at a reduced size, which is faster.
            Smaller images and other formats are not reduced. None: full size.
        window: Centre and width, for grey images of more than 8 bits and grey DICOM.

    Returns:
        uint8 tensor (channels, H, W), stored as (H, W, channels), which is the fastest order for resizing.

    Raises:
        TlxError: The file is missing, broken, truncated, too large or not an image; the message names it.
    """
    return as_image(torch.from_numpy(read_pixels(path, channels, min_side, window)), channels)


def as_image(pixels: Tensor, channels: int) -> Tensor:
    """Convert the result of `read_pixels`, uint8 (H, W) or (H, W, C), to an image (channels, H, W)."""
    return to_channels(pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1), channels)


def to_channels(pixels: Tensor, channels: int) -> Tensor:
    """Convert uint8 images (…, C, H, W), where C is 1, 3 or `channels`, to `channels` channels.

    Gray is repeated, colour becomes luma as in Pillow, and missing alpha is 255.
    """
    have = pixels.shape[-3]
    if have == channels:
        return pixels
    if have not in (1, 3):
        raise TlxError(f"expected images of 1 or 3 channels, got {have}, to make {channels} of them")
    if channels <= 2:
        colours = pixels if have == 1 else _luma(pixels)
    else:
        colours = pixels.expand(*pixels.shape[:-3], 3, *pixels.shape[-2:])
    if channels in (2, 4):
        return torch.cat([colours, torch.full_like(colours[..., :1, :, :], 255)], dim=-3)
    if channels > 4:
        return colours[..., [k % 3 for k in range(channels)], :, :]
    return colours


def _luma(pixels: Tensor) -> Tensor:
    """Return the ITU-R 601 luma of (..., 3, H, W) in Pillow's integer arithmetic (libImaging/Convert.c, L24)."""
    red, green, blue = pixels.to(torch.int32).unbind(-3)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8).unsqueeze(-3)
