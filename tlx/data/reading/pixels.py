"""Read an image file of any kind into an upright uint8 array. No torch here: processes that check files use it too.

Pillow reads, never torchvision's decoder: that one kills the process on some broken files; DICOM is read by
`dicom.py`. What a file may cost is settled before it is decoded: only regular files are opened, only formats of
pixels (an EPS file would start a program), and only as many pixels as `max_pixels()`. Measured at that size: Pillow and
its decoders hold up to 12 bytes a pixel (progressive CMYK; up to 24 in WebP, AVIF and JPEG 2000, of which half as many
pixels are allowed, as of DICOM), and the array that comes out 1 to 4. Between the two, images are converted in pieces,
so that no further copy is made.
"""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from tlx.base.errors import MissingPackage, TlxError
from tlx.data.files.image_files import DICOM, PILLOWS
from tlx.data.reading.thumbnail import as_text, shrink

if TYPE_CHECKING:  # a process that checks files needs arrays for few of them, and starts in a third of the time without
    import numpy as np
    import numpy.typing as npt

    from tlx.data.reading.windows import Window

    Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 2**26  # an image; the environment's TLX_MAX_PIXELS overrides it
_BYTES_A_PIXEL = 14  # that checking a file may take at most, all told: 0.9 GiB where MAX_PIXELS is allowed
_MAX_SCANS = 100  # of a progressive JPEG, which has about 10; one of 2 MB that decodes for minutes has 20,000
_HALF_AS_MANY = {"WEBP", "AVIF", "JPEG2000"}
_PIECE = 2**20  # pixels converted at once
_MODES = {1: "L", 2: "LA", 4: "RGBA"}  # "RGB" otherwise
_PLUGINS = {
    **{"JPEG": "Jpeg", "PNG": "Png", "TIFF": "Tiff", "WEBP": "WebP", "BMP": "Bmp", "DIB": "Bmp", "GIF": "Gif"},
    **{"PPM": "Ppm", "AVIF": "Avif", "JPEG2000": "Jpeg2K", "MPO": "Mpo"},
    "TGA": "Tga",  # last: its files have no mark of their own
}


def read_pixels(
    path: str | os.PathLike[str], channels: int = 3, min_side: int | None = None, window: Window | None = None
) -> Pixels:
    """Read one image; `tlx.data.reading.images.read_image` says how frames, depths and transparency are treated.

    Args:
        path: The file. Its content decides how it is read, not its extension; but a file with the extension of one of
            Pillow's formats is not asked whether it is DICOM.
        channels: Number of channels, at least 1.
        min_side: Pixels, at least 1: a JPEG is decoded at an eighth, a quarter or half of its size where its shorter
            side stays as long as this and both sides divide evenly; other formats are not. None: at the full size.
        window: Centre and width of the values that become 0 to 255, in grey images of more than 8 bits and in DICOM.
            None: the file's own, or `tlx.data.reading.images.read_image` says which.

    Returns:
        uint8 array, laid out in memory in this order: (H, W) for 1 channel, (H, W, channels) for 2 and 4, otherwise
        (H, W, 3), R, G and B.

    Raises:
        TlxError: The file is missing, broken, truncated, too large or no image; the message names it.
        MissingPackage: A package that reads it is missing.
    """
    import numpy as np

    mode = _MODES.get(channels, "RGB")
    if is_dicom(path):
        image = Image.fromarray(_dicom(path, window))
        return np.array(image if image.mode == mode else image.convert(mode))
    with opened(path) as image:
        by = reduction(*image.size, min_side)
        if by > 1:  # no effect on other formats; the JPEG decoder leaves out the high frequencies of each block
            image.draft(None, (image.width // by, image.height // by))
        image.load()
        turn = turn_of(image)
        scale = _float_scale(image)
        height, width = image.height, image.width
        upright = (width, height) if turn > 4 else (height, width)
        shape = upright if mode == "L" else (*upright, len(mode))
        pixels: Pixels = np.empty(shape, dtype=np.uint8)
        lying = _lying(pixels, turn)
        for box in _pieces(width, height):
            left, top, right, bottom = box
            piece = image if box == (0, 0, width, height) else image.crop(box)
            piece = _as_mode(_eight_bit(piece, scale, window), mode)
            place = lying[top:bottom, left:right]
            if turn > 4:  # Pillow exchanges rows and columns in half the time that numpy takes
                piece, place = piece.transpose(Image.Transpose.TRANSPOSE), place.swapaxes(0, 1)
            place[...] = np.asarray(piece)
    return pixels


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the height and width of an image in pixels, as `read_pixels` returns it; its pixels are not decoded.

    Raises:
        TlxError: The file is missing or no image.
    """
    if is_dicom(path):
        height, width = _dicom(path, None).shape[:2]
        return height, width
    with opened(path) as image:
        return (image.width, image.height) if turn_of(image) > 4 else (image.height, image.width)


def verify(path: str | os.PathLike[str]) -> tuple[int, int, int, str, int]:
    """Decode one image whole, and throw it away.

    Returns:
        Its width and height in pixels, as they lie in the file, its greatest value where it is grey of more than 8
        bits and no DICOM, 0 of all other kinds; its thumbnail, '' of what is no picture (`thumbnail.py`); and its EXIF
        orientation, 1 to 8.

    Raises:
        TlxError: As for `read_pixels`.
    """
    if is_dicom(path):
        height, width = _dicom(path, None).shape[:2]
        return width, height, 0, "", 1
    with opened(path) as image:
        image.load()
        corner = image.crop((0, 0, 1, 1))  # whether a mode can be converted shows on one pixel
        _as_mode(_eight_bit(corner, 1.0), "RGB")
        return *image.size, _peak(image), _thumbnail(image), turn_of(image)


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file is marked as DICOM; one with the extension of one of Pillow's formats is not asked."""
    if os.path.splitext(path)[1].lower() in PILLOWS:  # which are most files: they are opened once
        return False
    try:
        if why_no_file(os.stat(path).st_mode):
            return False
        with open(path, "rb", buffering=0) as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # which whoever reads it will say
        return False


def _dicom(path: str | os.PathLike[str], window: Window | None) -> Pixels:
    from tlx.data.reading.dicom import read_dicom

    try:
        return read_dicom(path, window, max_pixels() // 2)
    except Exception as error:  # pydicom, too, raises whatever happens
        kind = MissingPackage if isinstance(error, MissingPackage) else TlxError
        raise kind(f"cannot read image {os.fspath(path)}: {' '.join(_reason(error).split())}") from error


def reduction(width: int, height: int, min_side: int | None) -> int:
    """By how much `read_pixels` divides the sides of a JPEG of that size: 1, 2, 4 or 8.

    Only where nothing remains: the pixels of a remainder would reach beyond the image, all others would be shifted by
    parts of a pixel, and that would be most of the difference to the full size.
    """
    if min_side is None:
        return 1
    return max(
        by for by in (1, 2, 4, 8) if by == 1 or (width % by == height % by == 0 and min(width, height) >= by * min_side)
    )


def max_pixels() -> int:
    """Pixels that an image may have: TLX_MAX_PIXELS of the environment, or 2**26 (67 million).

    Raises:
        TlxError: TLX_MAX_PIXELS is no number.
    """
    text = os.environ.get("TLX_MAX_PIXELS", "").strip()
    try:
        limit = int(float(text)) if text else MAX_PIXELS
    except (ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise TlxError(f"TLX_MAX_PIXELS: expected a number of pixels such as 200000000, got '{text}'")
    return limit


def memory_limit() -> int:
    """Bytes that checking one file may take: 14 a pixel allowed, at least 256 MiB."""
    return max(2**28, _BYTES_A_PIXEL * max_pixels())


def why_no_file(mode: int) -> str:
    """Why a thing on disk with this `st_mode` is not read as a file; '' for a regular file."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = stat.S_IFMT(mode)
    return "" if kind == stat.S_IFREG else f"it is {kinds.get(kind, 'a device')}, not a file"


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open a file as an image, without decoding it; whatever is raised inside becomes a TlxError that names it.

    Raises:
        TlxError: As for `read_pixels`.
    """
    limit = max_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # Pillow's own limit must not stand below what the user allows
    try:
        there = os.stat(path)
        no_file = why_no_file(there.st_mode)  # opening a pipe would wait for ever
        if no_file or not there.st_size:
            raise OSError(no_file or "it is empty")
        with Image.open(path, formats=_formats()) as image:
            _check_size(image, limit)
            _check_scans(image, path)
            yield image
    except Exception as error:  # Pillow raises what its parsers happen to raise: OSError, ValueError, SyntaxError, …
        reason = _reason(error)
        if isinstance(error, UnidentifiedImageError) and os.path.splitext(path)[1].lower() in DICOM:
            reason = "it lacks DICOM's mark (DICM after 128 bytes) and is in no other format that tlx reads"
        raise TlxError(f"cannot read image {os.fspath(path)}: {reason}") from error


@functools.cache
def _formats() -> tuple[str, ...]:
    for plugin in _PLUGINS.values():
        with suppress(ImportError):
            import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(name for name in _PLUGINS if name in Image.OPEN)


def _check_size(image: Image.Image, limit: int) -> None:
    factor = 2 if image.format in _HALF_AS_MANY else 1
    sizes = [image.size]
    if image.format == "TIFF":  # a tile is decoded whole, however small the image is
        tags = image.tag_v2  # type: ignore[attr-defined]
        sizes.append((int(tags.get(322, 1)), int(tags.get(323, 1))))
    for width, height in sizes:
        if width * height * factor > limit:
            what = f"it has {width:,} x {height:,} pixels, more than {limit // factor:,}"
            raise ValueError(f"{what}; TLX_MAX_PIXELS={width * height * factor} in the environment allows it")


def _check_scans(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Each scan of a progressive JPEG visits the whole image, and may take up no more than a few bytes of the file."""
    if not image.info.get("progressive"):
        return
    scans, last = 0, b""
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            scans += (last + chunk).count(b"\xff\xda")  # these bytes mark a scan and occur nowhere else
            last = chunk[-1:] if chunk.endswith(b"\xff") else b""
    if scans > _MAX_SCANS:
        raise ValueError(f"it is a progressive JPEG of {scans:,} scans, more than {_MAX_SCANS}")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is in no image format that tlx reads"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "there is no permission to read it"
    if isinstance(error, MemoryError):
        return f"it takes more than {memory_limit() >> 20:,} MiB of memory"
    if isinstance(error, Image.DecompressionBombError):
        found = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(found[1]):,} pixels, more" if found else "more pixels"
        return f"it has {size} than {max_pixels():,}; TLX_MAX_PIXELS in the environment allows more"
    return str(error) or type(error).__name__


def turn_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8."""
    try:
        turn = image.getexif().get(0x0112, 1)
        return int(turn) if turn in range(1, 9) else 1
    except Exception:  # a damaged EXIF block says nothing about the picture, which is loaded already
        return 1


def _lying(pixels: Pixels, turn: int) -> Pixels:
    """A view of upright pixels (H, W, …) in which they lie as in a file of that EXIF orientation."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1) if turn in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if turn in (2, 3, 6, 7) else slice(None)
    return pixels[rows, columns] if turn < 5 else pixels[columns, rows]


def _pieces(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    columns = min(width, _PIECE)
    rows = max(1, _PIECE // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield left, top, min(left + columns, width), min(top + rows, height)


def _float_scale(image: Image.Image) -> float:
    """What floats are multiplied by: 255 where none is larger than 1."""
    if image.mode != "F":
        return 1.0
    import numpy as np

    tops = (np.nan_to_num(np.asarray(image.crop(box))).max() for box in _pieces(*image.size))
    return 255.0 if max(tops) <= 1 else 1.0


def _thumbnail(image: Image.Image) -> str:
    with suppress(Exception):  # an image that can be decoded is not broken for want of a thumbnail
        small = shrink(image)
        if small is not None:
            return as_text(_as_mode(small, "L"), turn_of(image), *image.size)
    return ""


def _peak(image: Image.Image) -> int:
    if not image.mode.startswith("I"):
        return 0
    import numpy as np

    return max(0, *(int(np.asarray(image.crop(box)).max()) for box in _pieces(*image.size)))


def _eight_bit(image: Image.Image, scale: float, window: Window | None = None) -> Image.Image:
    """Bring gray of more than 8 bits into mode L."""
    if not image.mode.startswith(("I", "F")):
        return image
    import numpy as np

    if window is not None:
        from tlx.data.reading.windows import windowed

        return Image.fromarray(windowed(np.asarray(image), window))
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    floats = np.nan_to_num(np.asarray(image, dtype=np.float64))
    return Image.fromarray((floats * scale).round().clip(0, 255).astype(np.uint8))


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode in ("L", "RGB"):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("L", "RGB"):  # from which Pillow can reach every mode, unlike from LAB or HSV
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == mode else image.convert(mode)
