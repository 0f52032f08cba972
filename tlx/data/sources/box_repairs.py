"""From boxes as an annotation writes them to boxes in the pixels of the upright image. No torch here.

Repaired, and counted in remarks, is what can mean only one thing:

- edges in the wrong order are swapped;
- a box that reaches beyond the image is cut off, if at least half of it is inside;
- a box without an area is a click and left out;
- the same box of the same class twice counts once;
- a size of 0 x 0 pixels is none; so is a wrong size, if some box lies outside of it and all lie in the image.

All else makes the image unusable (`Boxes.problem`): a box outside the image, edges that are no numbers, a size that is
not the image's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tlx.base.printable import counted, enumerated
from tlx.data.box_labels import Box, Boxes
from tlx.data.reading.facts import Facts
from tlx.data.sources.turns import Frame, Sizes, turns

_LEAST_INSIDE = 0.5  # of the area of a box, so that it is cut off at the edges of the image
_ROUNDED = 1.0  # pixels by which edges may be off

_SWAPPED = "edges in the wrong order are swapped", "box", "boxes"
_CUT = "cut off at the edges of the image", "box", "boxes"
_EMPTY = "left out, boxes without an area", "box", "boxes"
_TWICE = "counted once, the same object twice", "box", "boxes"
_SIZE = "wrong sizes of the image in annotations are not used, because their boxes exceed them", "image", "images"


@dataclass(frozen=True, slots=True)
class WrittenBoxes:
    """The objects in an image, as an annotation writes them.

    Args:
        boxes: Left, top, right and bottom of each, in pixels of the image as it was annotated; right and bottom are the
            edges behind the last pixels.
        classes: The class of each, from 0.
        ignored: For each, whether it neither counts as an object nor as background; empty: none is ignored.
        size: Width and height of the image that the annotation names; 0: not known.
        relative: Whether edges are fractions of the width and height of the image.
        problem: Why the annotation cannot be used; None: nothing is wrong.
    """

    boxes: tuple[Box, ...] = ()
    classes: tuple[int, ...] = ()
    ignored: tuple[bool, ...] = ()
    size: tuple[int, int] = (0, 0)
    relative: bool = False
    problem: str | None = None


@dataclass
class _Remarks:
    """What was repaired: kind of repair -> name of an image -> how often."""

    found: dict[tuple[str, str, str], Counter[str]] = field(default_factory=dict)

    def add(self, kind: tuple[str, str, str], name: str) -> None:
        self.found.setdefault(kind, Counter())[name] += 1

    def lines(self) -> list[str]:
        """A line for each kind."""
        lines = []
        for (what, one, more), images in self.found.items():
            count = counted(sum(images.values()), one, more)
            places = f" in {counted(len(images), 'image', 'images')}" if one != "image" else ""
            lines.append(f"{what}: {count}{places}: {enumerated(list(images), 5)}")
        return lines


def repaired(
    images: Sequence[Facts], written: Sequence[WrittenBoxes], names: Sequence[str], exif: Frame = None
) -> tuple[list[Boxes], list[str]]:
    """Return the label of each image, and remarks for the user.

    Args:
        images: What is known of each image: its size as stored and its EXIF orientation.
        written: Its objects.
        names: What a person calls it.
        exif: As what images with an EXIF orientation were when they were annotated, where sizes leave that open.
    """
    remarks = _Remarks()
    sizes = [_sizes(one, own, name, remarks) for one, own, name in zip(images, written, names, strict=True)]
    turned, of_turns = turns(sizes, exif, ("annotation", "boxes"))
    labels = [
        _label(own, size, turn, name, remarks)
        for own, size, turn, name in zip(written, sizes, turned, names, strict=True)
    ]
    return labels, [*of_turns, *remarks.lines()]


def upright_box(box: Box, size: tuple[int, int], turn: int) -> Box:
    """Return a box that was drawn on an image as stored, in the pixels of the image as shown.

    Args:
        box: Left, top, right and bottom.
        size: Width and height of the image as stored.
        turn: Its EXIF orientation, 1 to 8.
    """
    left, top, right, bottom = box
    width, height = size
    if turn in (2, 3, 7):
        left, right = width - right, width - left
    if turn in (3, 4, 7):
        top, bottom = height - bottom, height - top
    if turn in (5, 7):
        return top, left, bottom, right
    if turn == 6:
        return height - bottom, left, height - top, right
    if turn == 8:
        return top, width - right, bottom, width - left
    return left, top, right, bottom


def _sizes(image: Facts, written: WrittenBoxes, name: str, remarks: _Remarks) -> Sizes:
    """The sizes to compare; without one that can be right, corners say how the image lay."""
    drawn = (0, 0) if 0 in written.size or written.relative else written.size
    size = Sizes((image.width, image.height), image.turn, drawn)
    if written.relative or 0 in size.image:
        return size
    corners = [(max(left, right), max(top, bottom)) for left, top, right, bottom in written.boxes]
    if size.frame is None:
        unnamed = replace(size, drawn=(0, 0))
        if _hold(corners, drawn) or not (_hold(corners, size.image) or _hold(corners, size.shown)):
            return size
        remarks.add(_SIZE, name)
        return unnamed if size.turn == 1 else unnamed.by_corners(corners)
    return size if drawn != (0, 0) or size.turn == 1 else size.by_corners(corners)


def _hold(corners: Sequence[tuple[float, float]], frame: tuple[int, int]) -> bool:
    return all(x <= frame[0] + _ROUNDED and y <= frame[1] + _ROUNDED for x, y in corners)


def _label(written: WrittenBoxes, size: Sizes, turn: int, name: str, remarks: _Remarks) -> Boxes:
    problem = written.problem
    frame = size.image if turn > 1 else size.shown
    if problem is None and size.frame is None:
        (width, height), (own, high) = size.shown, size.drawn
        problem = f"expected annotations of {width} x {height} pixels, as the image has, got {own} x {high}"
    if problem is not None or 0 in frame:  # an image of unknown size is broken, and named for that
        return Boxes.of((), (), (), problem)
    kept: dict[tuple[Box, int], bool] = {}
    ignored = written.ignored or (False,) * len(written.boxes)
    for box, label, flag in zip(written.boxes, written.classes, ignored, strict=True):
        pixels = _scaled(box, frame) if written.relative else box
        try:
            within = _within(pixels, frame, name, remarks)
        except ValueError as error:
            return Boxes.of((), (), (), f"{error}: {_shown(box)}")
        if within is None:
            remarks.add(_EMPTY, name)
            continue
        key = upright_box(within, frame, turn), label
        if key in kept:
            remarks.add(_TWICE, name)
        kept[key] = flag and kept.get(key, True)
    return Boxes.of([box for box, _ in kept], [label for _, label in kept], kept.values())


def _scaled(box: Box, frame: tuple[int, int]) -> Box:
    width, height = frame
    left, top, right, bottom = box
    return left * width, top * height, right * width, bottom * height


def _within(box: Box, frame: tuple[int, int], name: str, remarks: _Remarks) -> Box | None:
    """Return a box with ordered edges inside the image; None: it has no area.

    Raises:
        ValueError: It lies outside, or an edge is no number.
    """
    if not all(math.isfinite(edge) for edge in box):
        raise ValueError("a box has an edge that is no number")
    ordered = min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])
    left, top, right, bottom = ordered
    width, height = frame
    inside = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    sides = inside[2] - inside[0], inside[3] - inside[1]
    if inside != ordered and not _is_cut(ordered, sides, frame):
        raise ValueError(f"a box lies outside the image of {width} x {height} pixels")
    if min(sides) <= 0:
        return None
    if ordered != box:
        remarks.add(_SWAPPED, name)
    if _exceeds(ordered, frame):
        remarks.add(_CUT, name)
    return inside


def _is_cut(box: Box, sides: tuple[float, float], frame: tuple[int, int]) -> bool:
    """Whether a box can be cut off to some sides: it is outside by rounding, or mostly inside."""
    left, top, right, bottom = box
    mostly = min(sides) > 0 and sides[0] * sides[1] >= _LEAST_INSIDE * (right - left) * (bottom - top)
    return mostly or not _exceeds(box, frame)


def _exceeds(box: Box, frame: tuple[int, int]) -> bool:
    """Whether a box reaches beyond the image by more than a pixel."""
    beyond = -box[0], -box[1], box[2] - frame[0], box[3] - frame[1]
    return max(beyond) > _ROUNDED


def _shown(box: Box) -> str:
    return ", ".join(f"{side} {edge:g}" for side, edge in zip(("left", "top", "right", "bottom"), box, strict=True))
