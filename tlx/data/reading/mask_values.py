"""The values of a mask file as they were drawn: numbers, places in a palette, or colours. No torch here.

As of images, Pillow reads, and only as many pixels as are allowed. Colours are whole numbers 0xRRGGBB. A mask whose
colours are all gray is one of numbers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from tlx.data.reading.pixels import opened, turn_of

Kind = Literal["numbers", "palette", "colours"]
LOSSY = {"JPEG", "MPO"}  # formats in which no value stays what it was
_OPAQUE = 128  # alpha from which a pixel counts as drawn
_GRAY = 0x010101


@dataclass(frozen=True)
class MaskValues:
    """The values of a mask.

    Args:
        kind: What they are.
        values: (H, W), unsigned whole numbers, upright by the EXIF orientation that the file itself has.
        palette: Of `palette`, the colour of each place (256,).
        lossy: Whether the format is one in which values are blurred.
        transparent: Pixels that were transparent and became 0.
    """

    kind: Kind
    values: npt.NDArray[np.unsignedinteger]
    palette: npt.NDArray[np.uint32] | None = None
    lossy: bool = False
    transparent: int = 0


def read_values(path: str | os.PathLike[str]) -> MaskValues:
    """Read a mask file; of several frames the first one.

    Transparent pixels (alpha below 128) become 0, or black; alpha of others is dropped. One bit is 0 and 255.

    Raises:
        TlxError: The file is missing, broken or too large, or holds fractions or negative numbers; it is named.
    """
    with opened(path) as image:
        image.load()
        kind, values, transparent = _values(image)
        palette = _palette(image) if kind == "palette" else None
        if palette is not None and np.array_equal(palette, np.arange(256) * _GRAY):
            kind, palette = "numbers", None
        return MaskValues(kind, upright(values, turn_of(image)), palette, image.format in LOSSY, transparent)


def upright(values: npt.NDArray[np.unsignedinteger], turn: int) -> npt.NDArray[np.unsignedinteger]:
    """Return an array (H, W) that lies as in a file of that EXIF orientation, 1 to 8, as it stands upright."""
    if turn in (2, 3, 7):
        values = values[:, ::-1]
    if turn in (3, 4, 7):
        values = values[::-1]
    if turn in (5, 7):
        values = values.T
    if turn in (6, 8):
        values = np.rot90(values, 3 if turn == 6 else 1)
    return np.ascontiguousarray(values)


def _values(image: Image.Image) -> tuple[Kind, npt.NDArray[np.unsignedinteger], int]:
    """The kind of an image that is loaded, its values as they lie in the file, and how many are transparent."""
    mode = image.mode
    if mode == "P":
        return "palette", np.asarray(image), 0
    if mode in ("1", "L"):
        return "numbers", np.asarray(image.convert("L") if mode == "1" else image), 0
    if mode.startswith(("I", "F")):
        return "numbers", _whole(np.asarray(image)), 0
    if mode == "LA":
        gray, alpha = (np.asarray(band) for band in image.split())
        clear = alpha < _OPAQUE
        return "numbers", np.where(clear, np.uint8(0), gray), int(clear.sum())
    with_alpha = mode in ("RGBA", "PA", "La", "RGBa")
    pixels = np.asarray(image.convert("RGBA" if with_alpha else "RGB"))
    red, green, blue = (pixels[..., band] for band in range(3))
    clear = pixels[..., 3] < _OPAQUE if with_alpha else np.zeros((1, 1), dtype=bool)
    count = int(clear.sum())
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return "numbers", np.where(clear, np.uint8(0), red) if count else np.ascontiguousarray(red), count
    packed = _packed(red, green, blue)
    if count:
        packed[clear] = 0
        if np.array_equal(packed % 256 * _GRAY, packed):
            return "numbers", (packed % 256).astype(np.uint8), count
    return "colours", packed, count


def _whole(values: npt.NDArray[np.generic]) -> npt.NDArray[np.unsignedinteger]:
    """Values of more than 8 bits as uint16 or uint32."""
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any() or numbers.min() < 0:
        raise ValueError("its values are no whole numbers from 0 up, so they are no classes")
    if numbers.max() > 2**32 - 1:
        raise ValueError(f"it has a value of {numbers.max():,.0f}, more than classes are numbered with")
    return numbers.astype(np.uint16 if numbers.max() < 2**16 else np.uint32)


def _palette(image: Image.Image) -> npt.NDArray[np.uint32]:
    flat = np.array(image.getpalette("RGB") or [], dtype=np.uint32)[:768]
    colours = np.zeros((256, 3), dtype=np.uint32)
    colours[: len(flat) // 3] = flat[: len(flat) // 3 * 3].reshape(-1, 3)
    return _packed(*colours.T)


def _packed(*bands: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint32]:
    """Colours 0xRRGGBB of red, green and blue."""
    packed = np.zeros(bands[0].shape, dtype=np.uint32)
    for band, shift in zip(bands, (16, 8, 0), strict=True):
        packed |= band.astype(np.uint32) << np.uint32(shift)
    return packed
