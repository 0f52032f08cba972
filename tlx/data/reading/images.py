"""Read an image file of any kind into a uint8 tensor that stands upright, in as many channels as asked.

Channels asked for: 1 luma (ITU-R 601), 2 luma and alpha, 3 RGB, 4 RGBA, 5 and more: R, G, B repeated cyclically.
Where alpha is not asked for, a transparent image is laid on white.
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

    The first frame of an animation or a stack is taken; EXIF orientation is applied, and a damaged EXIF block is passed
    over. 16-bit grey becomes value / 257; 32-bit integers are clipped to 0..65535 and then likewise. Floats are taken
    as 0..1 where none is larger, otherwise as 0..255, clipped; NaN becomes 0. Transparency of such images is ignored.
    With `window` all of these become (value - centre) / width + 1/2 of 255, clipped.

    DICOM is rescaled and shown in the first window, or VOI LUT, of the file, or in `window`; without any, from the
    least value to the greatest, but for 8 bits, which stay as they are. MONOCHROME1 is inverted. Of several frames the
    middle one is taken.

    Args:
        path: The file. Its content decides how it is read, not its extension.
        channels: Number of channels, at least 1.
        min_side: Pixels that the shorter side keeps where a JPEG is decoded at a reduced size, which is faster; an
            image whose shorter side has fewer is not reduced, nor is another format. None: the full size.
        window: Centre and width, of grey images of more than 8 bits and of grey DICOM.

    Returns:
        uint8 tensor (channels, H, W), laid out in memory as (H, W, channels), in which resizing is fastest.

    Raises:
        TlxError: The file is missing, broken, truncated, too large or no image; the message names it.
    """
    return as_image(torch.from_numpy(read_pixels(path, channels, min_side, window)), channels)


def as_image(pixels: Tensor, channels: int) -> Tensor:
    """What `read_pixels` returned, uint8 (H, W) or (H, W, C), as an image (channels, H, W)."""
    return to_channels(pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1), channels)


def to_channels(pixels: Tensor, channels: int) -> Tensor:
    """Bring uint8 images (…, C, H, W), C one of 1, 3 or `channels`, into `channels` channels.

    Gray is repeated; colour becomes luma as Pillow computes it; a missing alpha is 255.
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
    """ITU-R 601 luma of (..., 3, H, W) in Pillow's integer arithmetic (libImaging/Convert.c, L24)."""
    red, green, blue = pixels.to(torch.int32).unbind(-3)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8).unsqueeze(-3)
