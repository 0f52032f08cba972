"""Draw boxes with labels on an image."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

SMALLEST, LARGEST = 640, 2_048  # pixels of the longer side of a drawn image
_MOST_TIMES = 16  # an image of a few pixels is enlarged by
_Area = tuple[float, float, float, float]


class DrawnBox(NamedTuple):
    """A box to draw.

    Args:
        edges: Left, top, right and bottom in pixels of the image.
        colour: Red, green and blue from 0 to 255.
        label: Text beside it; '' for none.
        dashed: Whether its lines are dashed.
    """

    edges: tuple[float, float, float, float]
    colour: tuple[int, int, int]
    label: str = ""
    dashed: bool = False


def with_boxes(
    image: np.ndarray, boxes: Sequence[DrawnBox], smallest: int = SMALLEST, largest: int = LARGEST
) -> np.ndarray:
    """Return an image with boxes, enlarged or reduced so that a person can look at it: uint8 (h, w, 3).

    Earlier boxes lie on top. A label that would cover another one is left out.

    Args:
        image: uint8 (H, W, 3).
        boxes: In the image's own pixels.
        smallest: Pixels of the longer side at least.
        largest: Pixels of the longer side at most.
    """
    shown, scale = _sized(image, smallest, largest)
    moved = [DrawnBox(_scaled(box.edges, scale), box.colour, box.label, box.dashed) for box in boxes]
    draw_boxes(shown, moved)
    return np.asarray(shown)


def draw_boxes(picture: Image.Image, boxes: Sequence[DrawnBox]) -> None:
    """Draw boxes into an RGB picture; earlier ones lie on top, and a label that would cover another is left out."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    longer = max(picture.size)
    width = max(2, round(longer / 350))
    for box in reversed(boxes):
        left, top, right, bottom = box.edges
        outline = (left, top, max(right - 1, left), max(bottom - 1, top))  # the edges lie behind the last pixels
        if box.dashed:
            for start, end in _dashes(outline, 4 * width):
                draw.line((*start, *end), fill=box.colour, width=width)
        else:
            draw.rectangle(outline, outline=box.colour, width=width)
    font = text_font(max(12, round(longer / 55)))
    taken: list[_Area] = []
    for box in boxes:
        if box.label and (area := _free_area(box, font, picture.size, taken)):
            taken.append(area)
            draw.rectangle(area, fill=box.colour)
            dark = np.dot(box.colour, (0.299, 0.587, 0.114)) > 140
            draw.text((area[0] + 3, area[1] + 1), box.label, font=font, fill=(0, 0, 0) if dark else (255, 255, 255))


def _dashes(area: _Area, length: int) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield the ends of dashes of some pixels along the edges of an area."""
    left, top, right, bottom = area
    for x in np.arange(left, right, 2 * length).tolist():
        for y in (top, bottom):
            yield (x, y), (min(x + length, right), y)
    for y in np.arange(top, bottom, 2 * length).tolist():
        for x in (left, right):
            yield (x, y), (x, min(y + length, bottom))


def _sized(image: np.ndarray, smallest: int, largest: int) -> tuple[Image.Image, float]:
    """Return an image of a size to look at, and by how much it was scaled."""
    from PIL import Image

    height, width = image.shape[:2]
    longer, shown = max(height, width), Image.fromarray(image)
    if smallest <= longer <= largest:
        return shown, 1.0
    scale = largest / longer if longer > largest else min(-(-smallest // longer), _MOST_TIMES, largest / longer)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return shown.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), scale


def _scaled(edges: tuple[float, float, float, float], scale: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (edge * scale for edge in edges)
    return left, top, right, bottom


def _free_area(
    box: DrawnBox, font: ImageFont.FreeTypeFont, size: tuple[int, int], taken: Iterable[_Area]
) -> _Area | None:
    """Return where the label of a box covers no other one: above the box, in it, or below; None: nowhere."""
    left, top, _, bottom = box.edges
    wide, high = font.getlength(box.label) + 6, sum(font.getmetrics()) + 2
    left = max(0.0, min(left, size[0] - wide))
    for place in (top - high, top, bottom, bottom - high):
        area = (left, place, left + wide, place + high)
        if place >= 0 and place + high <= size[1] and not any(_meet(area, other) for other in taken):
            return area
    return None


def _meet(one: _Area, other: _Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@functools.lru_cache(maxsize=16)
def text_font(size: int) -> ImageFont.FreeTypeFont:
    """Return a font with Latin, Greek and Cyrillic letters, of a size in pixels."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
