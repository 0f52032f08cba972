"""Put pictures with captions side by side on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlx.measures.box_drawing import text_font

if TYPE_CHECKING:
    from PIL import Image

Cell = tuple[str, np.ndarray]  # a caption and a picture, uint8 (h, w, 3)
_MARGIN, _LINE, _TEXT = 8, 18, 13  # pixels: between pictures, of a line of a caption, of its characters


def sheet(rows: Sequence[Sequence[Cell]], side: int) -> np.ndarray:
    """Return pictures in rows, each below its caption, on white: uint8 (H, W, 3).

    Args:
        rows: A caption, of one line or several, and a picture, uint8 (h, w, 3), for each cell. Larger pictures are
            reduced to fit; those of less than half a side are enlarged by a whole factor.
        side: Pixels of a cell's sides.
    """
    from PIL import Image, ImageDraw

    columns = max(map(len, rows), default=0)
    fitted = [[(caption, _fitted(Image.fromarray(picture), side)) for caption, picture in row] for row in rows]
    captions = [_LINE * max((caption.count("\n") + 1 for caption, _ in row), default=1) for row in fitted]
    heights = [max((picture.height for _, picture in row), default=0) for row in fitted]
    size = (_MARGIN + columns * (side + _MARGIN), _MARGIN + sum(heights) + sum(captions) + len(rows) * _MARGIN)
    whole = Image.new("RGB", size, (255, 255, 255))
    draw, font, top = ImageDraw.Draw(whole), text_font(_TEXT), _MARGIN
    for row, height, above in zip(fitted, heights, captions, strict=True):
        for column, (caption, picture) in enumerate(row):
            left = _MARGIN + column * (side + _MARGIN)
            for number, text in enumerate(caption.split("\n")):
                while text and font.getlength(text) > side:
                    text = f"{text.removesuffix('…')[:-1]}…" if len(text) > 2 else ""
                draw.text((left, top + number * _LINE), text, font=font, fill=(0, 0, 0))
            whole.paste(picture, (left, top + above))
        top += above + height + _MARGIN
    return np.asarray(whole)


def contact_sheet(cells: Sequence[Cell], columns: int, side: int) -> np.ndarray:
    """Return pictures with their captions in rows of some columns: uint8 (H, W, 3); arguments as of `sheet`."""
    return sheet([cells[start : start + columns] for start in range(0, len(cells), columns)], side)


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    longer = max(picture.size)
    if 2 * longer <= side:
        return picture.resize((picture.width * (side // longer), picture.height * (side // longer)), 0)  # 0: nearest
    scale = min(1.0, side / longer)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if scale == 1 else picture.resize(size)
