"""How images of any size become the input of a detector. Only the standard library.

An image keeps its aspect. It is resized to `sides`: the shorter side, and what the longer one has at most. A *canvas*
of one size is what trains and is validated: a resized image that fits is padded at the bottom and on the right;
otherwise parts of the canvas's size are cut out of it. `choose_canvas` chooses both from training images and boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

Size = tuple[int, int]  # height and width in pixels

COST = 512 * 512  # pixels of a canvas; more are chosen only if the user asks for them
WANTED = 12.0  # pixels that the shorter sides of 90 % of the boxes have at least
BEARABLE = 8.0  # pixels: if a whole image on the canvas leaves boxes smaller than this, it is worked on in tiles
LEAST = 256  # pixels of the shorter side of images with large boxes
ENLARGED = 2.0  # times its own size that an image is enlarged to, at most
MULTIPLE = 32  # the usual largest stride of a network, in pixels
_ROUNDING = 1e-6  # that a number may be off
_SMALL = 0.1  # the quantile of box sides that has to be wide enough
_USUAL = 0.95  # of the images fit the canvas; others, such as a few panoramas, do not make it larger for all


@dataclass(frozen=True)
class Canvas:
    """What images of any size are resized to and padded to.

    Args:
        size: Height and width of what trains and is validated.
        sides: Shorter side of resized images in pixels, and what the longer one has at most.
        small: The 10th percentile of the shorter sides of resized boxes in pixels; None: there are no boxes.
        whole: The same if images were resized to fit the canvas; None: they are.
    """

    size: Size
    sides: tuple[int, int]
    small: float | None = None
    whole: float | None = None

    def describe(self) -> list[str]:
        """Return lines about the canvas, the scale and the size of boxes."""
        shorter, longer = self.sides
        line = f"images are resized to a shorter side of {shorter:,} pixels, the longer side at most {longer:,}"
        boxes = (
            "there are no boxes" if self.small is None else f"90 % of the boxes have sides of {self.small:.1f} or more"
        )
        canvas = f"{self.size[0]:,} x {self.size[1]:,} (height x width)"
        if self.whole is None:
            return [f"{line}; {boxes}", f"whole images, padded to a canvas of {canvas}"]
        is_small = self.whole < BEARABLE
        why = f"because whole images would leave only {self.whole:.1f} pixels" if is_small else "as the sides are set"
        return [f"{line}; {boxes}", f"in tiles of {canvas}, {why}"]


def resized(size: Size, sides: tuple[int, int]) -> Size:
    """Return the height and width of an image after resizing, see `Canvas`."""
    factor = scale(size, sides)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def scale(size: Size, sides: tuple[float, float]) -> float:
    """Return how many times as large a resized image is."""
    return min(sides[0] / min(size), sides[1] / max(size))


def is_whole(size: Size, canvas: Size) -> bool:
    """Return whether a resized image, of whichever orientation, goes through the network at once when it is tested."""
    return max(size) <= max(canvas)


def box_sides(
    sizes: Iterable[Size], boxes: Iterable[Iterable[tuple[float, float]]], sides: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return the width and height of all boxes after their images were resized.

    Args:
        sizes: Height and width of each image.
        boxes: Width and height of the boxes in each, in its own pixels.
        sides: What images are resized to.
    """
    factors = ((scale(size, sides), own) for size, own in zip(sizes, boxes, strict=True))
    return [(width * factor, height * factor) for factor, own in factors for width, height in own]


def choose_canvas(
    sizes: Sequence[Size],
    boxes: Sequence[Sequence[tuple[float, float]]],
    canvas: Size | None = None,
    min_side: int | None = None,
    max_side: int | None = None,
) -> Canvas:
    """Choose a canvas on which boxes are large enough, and the cost stays within `COST` if that is possible.

    Args:
        sizes: Height and width of each training image.
        boxes: Width and height of the boxes in each, in its own pixels.
        canvas: Height and width of the canvas, if they are given.
        min_side: Shorter side of resized images, if it is given: whole images, unless they exceed a given canvas.
        max_side: What the longer side has at most, if it is given.
    """
    if not sizes:
        given = canvas or (LEAST, LEAST)
        return Canvas(given, (min(given), max(given)))
    shape = _Shape.of(sizes)
    fits = math.sqrt(COST / (shape.tall * shape.wide)) if canvas is None else shape.fitting(canvas)
    small = _small(sizes, boxes, (1.0, shape.aspect))  # of images whose shorter side has 1 pixel
    whole = None if small is None else small * fits
    wanted = LEAST if small is None else max(LEAST, WANTED / small)
    largest = ENLARGED * median(min(size) for size in sizes)
    if min_side is not None:
        side, in_tiles = min_side, canvas is not None and min_side > fits
    elif min(wanted, largest) > fits and whole is not None and whole < BEARABLE:
        side, in_tiles = math.ceil(min(wanted, largest) - _ROUNDING), True
    elif canvas is not None:
        side, in_tiles = math.floor(fits), False
    else:
        most = MULTIPLE * math.floor(max(min(fits, largest), MULTIPLE) / MULTIPLE)
        side, in_tiles = min(MULTIPLE * math.ceil(wanted / MULTIPLE), most), False
    longer = shape.longer(side, canvas, in_tiles)
    if max_side is not None:
        longer = max_side if canvas is None else min(longer, max_side)
    sides = min(side, longer), longer
    canvas = canvas or _canvas(sizes, sides, math.isqrt(COST) if in_tiles else longer)
    return Canvas(canvas, sides, _small(sizes, boxes, sides), (whole or 0.0) if in_tiles else None)


@dataclass(frozen=True)
class _Shape:
    """The usual shape of images whose shorter side is 1.

    Args:
        aspect: The longer side.
        tall: Height of a canvas that they fit.
        wide: Its width.
    """

    aspect: float
    tall: float
    wide: float

    @classmethod
    def of(cls, sizes: Sequence[Size]) -> _Shape:
        aspect = quantile(sorted(max(size) / min(size) for size in sizes), _USUAL)
        tall, wide = (
            quantile(sorted(min(size[axis] / min(size), aspect) for size in sizes), _USUAL) for axis in (0, 1)
        )
        return cls(aspect, tall, wide)

    def fitting(self, canvas: Size) -> float:
        """Return the shorter side of images that fit a canvas."""
        return min(canvas[0] / self.tall, canvas[1] / self.wide)

    def longer(self, side: int, canvas: Size | None, in_tiles: bool) -> int:
        """Return what the longer side has at most, if the shorter one has `side` pixels."""
        if in_tiles:
            return math.ceil(self.aspect * side)
        if canvas is None:
            return _multiple(self.aspect * side)
        across = [edge for edge, along in zip(canvas, (self.tall, self.wide), strict=True) if along > 1]
        return max(side, min(across, default=max(canvas)))


def _canvas(sizes: Sequence[Size], sides: tuple[int, int], most: int) -> Size:
    """Return a canvas that usual images fit after resizing, with sides of about `most` pixels at most."""
    found = [resized(size, sides) for size in sizes]
    height, width = (_multiple(min(quantile(sorted(one[axis] for one in found), _USUAL), most)) for axis in (0, 1))
    return height, width


def _small(
    sizes: Sequence[Size], boxes: Sequence[Sequence[tuple[float, float]]], sides: tuple[float, float]
) -> float | None:
    """Return the 10th percentile of the shorter sides of boxes in resized images; None: there are none."""
    found = sorted(min(box) for box in box_sides(sizes, boxes, sides))
    return quantile(found, _SMALL) if found else None


def _multiple(side: float) -> int:
    return MULTIPLE * math.ceil(side / MULTIPLE - _ROUNDING)


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the values does not exceed."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
