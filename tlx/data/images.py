"""Read an image file of any kind into a uint8 tensor that stands upright, in as many channels as asked.

Pillow reads, never torchvision's decoder: that one kills the process on some broken files.

Channels asked for: 1 luma (ITU-R 601), 2 luma and alpha, 3 RGB, 4 RGBA, 5 and more: R, G, B repeated cyclically.
Where alpha is not asked for, a transparent image is laid on white.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from tlx.errors import TlxError

_MODES = {1: "L", 2: "LA", 4: "RGBA"}  # "RGB" otherwise


def read_image(path: str | os.PathLike[str], channels: int = 3) -> Tensor:
    """Read one image.

    The first frame of an animation or a stack is taken; EXIF orientation is applied, and a damaged EXIF block is passed
    over. 16-bit grey becomes value / 257; 32-bit integers are clipped to 0..65535 and then likewise. Floats are taken
    as 0..1 where none is larger, otherwise as 0..255, clipped; NaN becomes 0. Transparency of such images is ignored.

    Args:
        path: The file. Its content decides how it is read, not its extension.
        channels: Number of channels, at least 1.

    Returns:
        uint8 tensor (channels, H, W), laid out in memory as (H, W, channels), in which resizing is fastest.

    Raises:
        TlxError: The file is missing, broken, truncated or no image; the message names it.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            image = _eight_bit(_upright(opened))
            pixels = np.array(_as_mode(image, _MODES.get(channels, "RGB")))
    except Exception as error:  # Pillow raises what its parsers happen to raise: OSError, ValueError, SyntaxError, …
        raise TlxError(f"cannot read image {os.fspath(path)}: {_reason(error)}") from error
    tensor = torch.from_numpy(pixels)
    tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    return to_channels(tensor, channels)


def to_channels(pixels: Tensor, channels: int) -> Tensor:
    """Bring uint8 images (..., C, H, W), C one of 1, 3 or `channels`, into `channels` channels.

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


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is in no image format that Pillow knows"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return str(error) or type(error).__name__


def _luma(pixels: Tensor) -> Tensor:
    """ITU-R 601 luma of (..., 3, H, W) in Pillow's integer arithmetic (libImaging/Convert.c, L24)."""
    red, green, blue = pixels.to(torch.int32).unbind(-3)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8).unsqueeze(-3)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing about the picture, which is loaded already
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Bring gray of more than 8 bits into mode L."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        floats = np.nan_to_num(np.asarray(image, dtype=np.float64))
        scale = 255.0 if floats.max() <= 1 else 1.0
        return Image.fromarray((floats * scale).round().clip(0, 255).astype(np.uint8))
    return image


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode in ("L", "RGB"):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("L", "RGB"):  # from which Pillow can reach every mode, unlike from LAB or HSV
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == mode else image.convert(mode)
