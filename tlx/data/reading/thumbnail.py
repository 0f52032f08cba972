"""A picture in 16x16 grey values: by it pictures are compared that differ in their bytes and look the same.

Only pictures get one. Not digits, characters, masks and drawings, of which many look alike and none is another one
again: what is small, has one bit or few colours. Only Pillow; `tlx.data.splits.similar` compares.
"""

from __future__ import annotations

from PIL import Image

SIDE = 16
LEAST = 64  # pixels of the shorter side
_FEW_COLOURS = 32
_MODES = {"L", "LA", "P", "RGB", "RGBA", "CMYK"}  # others have one bit, more than 8, or are rare
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def shrunk(image: Image.Image) -> Image.Image | None:
    """Return a loaded image in 16x16 pixels of its own mode, as it lies in the file; None: it is no picture."""
    if image.mode not in _MODES or min(image.size) < LEAST or image.getcolors(_FEW_COLOURS) is not None:
        return None
    if image.mode == "P":  # places in a palette have no mean
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)


def written(grey: Image.Image, turn: int, width: int, height: int) -> str:
    """Return a thumbnail as text, upright: `WIDTHxHEIGHT` of the picture and the grey values, hexadecimal.

    Args:
        grey: 16x16 pixels, mode L.
        turn: EXIF orientation, 1 to 8.
        width: Of the picture in pixels, as it lies in the file.
        height: Likewise.
    """
    if turn in _UPRIGHT:
        grey = grey.transpose(_UPRIGHT[turn])
    if turn > 4:
        width, height = height, width
    return f"{width}x{height} {grey.tobytes().hex()}"
