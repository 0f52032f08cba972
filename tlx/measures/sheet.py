"""Put pictures with captions side by side on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlx.measures.box_drawing import text_font

if TYPE_CHECKING:
    from PIL import Image

_MARGIN, _LINE, _TEXT = 8, 18, 13  # pixels: between pictures, of a caption, of its characters


def sheet(rows: Sequence[Sequence[tuple[str, np.ndarray]]], side: int) -> np.ndarray:
    """Return pictures in rows, each below its caption, on white: uint8 (H, W, 3).

    Args:
        rows: A caption and a picture, uint8 (h, w, 3), for each cell. Larger pictures are reduced to fit.
        side: Pixels of a cell's sides.
    """
    from PIL import Image, ImageDraw

    columns = max(map(len, rows), default=0)
    fitted = [[(caption, _fitted(Image.fromarray(picture), side)) for caption, picture in row] for row in rows]
    heights = [max((picture.height for _, picture in row), default=0) + _LINE for row in fitted]
    size = (_MARGIN + columns * (side + _MARGIN), _MARGIN + sum(heights) + len(rows) * _MARGIN)
    whole = Image.new("RGB", size, (255, 255, 255))
    draw, font, top = ImageDraw.Draw(whole), text_font(_TEXT), _MARGIN
    for row, height in zip(fitted, heights, strict=True):
        for column, (caption, picture) in enumerate(row):
            left = _MARGIN + column * (side + _MARGIN)
            text = caption
            while text and font.getlength(text) > side:
                text = f"{text.removesuffix('…')[:-1]}…" if len(text) > 2 else ""
            draw.text((left, top), text, font=font, fill=(0, 0, 0))
            whole.paste(picture, (left, top + _LINE))
        top += height + _MARGIN
    return np.asarray(whole)


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    scale = min(1.0, side / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if scale == 1 else picture.resize(size)
