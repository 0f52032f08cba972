"""Thumbnails of 16x16 grey values, by which `tlx.data.splits.similar` finds near duplicates. Only Pillow.

Small images and images of one bit or few colours get none: digits, characters, masks and drawings often look alike
without being duplicates.
"""

from __future__ import annotations

from PIL import Image

SIDE = 16
LEAST = 64  # pixels of the shorter side
_FEW_COLOURS = 32
_MODES = {"L", "LA", "P", "RGB", "RGBA", "CMYK"}  # other modes have 1 bit or more than 8 bits, or are rare
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def shrink(image: Image.Image) -> Image.Image | None:
    """Resize a loaded image to 16x16 pixels, in its own mode and the file's orientation; None if it gets none."""
    if image.mode not in _MODES or min(image.size) < LEAST or image.getcolors(_FEW_COLOURS) is not None:
        return None
    if image.mode == "P":  # palette indices cannot be averaged
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)


def as_text(grey: Image.Image, orientation: int, width: int, height: int) -> str:
    """Return an upright thumbnail as text: `WIDTHxHEIGHT` of the picture, and the grey values in hexadecimal.

    Args:
        grey: 16x16 pixels, mode L.
        orientation: EXIF orientation, 1 to 8.
        width: Width of the picture in the file, in pixels.
        height: Height of the picture in the file, in pixels.
    """
    if orientation in _UPRIGHT:
        grey = grey.transpose(_UPRIGHT[orientation])
    if orientation > 4:
        width, height = height, width
    return f"{width}x{height} {grey.tobytes().hex()}"
