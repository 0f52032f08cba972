"""Files of labels of YOLO: a row of numbers for each object. Only the standard library."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.files import open_regular
from tlx.base.legible import legible
from tlx.data.box_labels import Box

_MOST_BYTES = 2**26
_FRACTIONS = (-0.5, 1.5)  # beyond this, numbers are pixels and not fractions
_KEPT = 2**17  # files whose content is remembered while they stay as they are
Outline = tuple[float, ...]  # x and y of the corners in turn


@dataclass(frozen=True, slots=True)
class YoloFile:
    """What a file says of an image.

    Args:
        classes: The class of each object, by number.
        boxes: Left, top, right and bottom of each, as fractions of the width and height of the image.
        outlines: How many of them were written as outlines.
        corners: The outlines of four corners; oriented boxes look like these.
        problem: Why the file cannot be used; None: nothing is wrong.
    """

    classes: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
    outlines: int = 0
    corners: tuple[Outline, ...] = ()
    problem: str | None = None


def read_yolo(path: Path, keypoints: bool = False) -> YoloFile:
    """Read a file; one that has not changed is read once. What is wrong with it becomes its problem.

    Args:
        path: The file.
        keypoints: Whether key points follow each box.
    """
    try:
        stat = os.stat(path)
    except OSError as error:
        return YoloFile(problem=f"cannot read {legible(path.name)}: {error.strerror}")
    return _read(str(path), keypoints, (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=_KEPT)
def _read(path: str, keypoints: bool, stamp: tuple[int, int]) -> YoloFile:
    name = legible(os.path.basename(path))
    try:
        if stamp[1] > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
        with open_regular(Path(path)) as file:
            text = file.read().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        return YoloFile(problem=f"cannot read {name}: {getattr(error, 'strerror', None) or error}")
    classes, boxes, corners, outlines = [], [], [], 0
    for place, line in enumerate(text.splitlines(), start=1):
        row = line.split()
        if not row:
            continue
        try:
            label, values = _numbers(row)
            boxes.append(_box(values, keypoints))
        except ValueError as error:
            return YoloFile(problem=f"{name}, line {place}: {error}")
        classes.append(label)
        if len(values) > 4 and not keypoints:
            outlines += 1
            if len(values) == 8:
                corners.append(values)
    return YoloFile(tuple(classes), tuple(boxes), outlines, tuple(corners))


def holds_labels(path: Path) -> bool:
    """Return whether a file holds rows of labels, and not a list of images or of names."""
    try:
        with open_regular(path) as file:
            return are_labels(file.read(_MOST_BYTES).decode("utf-8-sig", errors="replace"))
    except (OSError, TlxError):
        return False


def are_labels(text: str) -> bool:
    """Return whether a text is rows of labels: all of its lines are five numbers or more."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return bool(rows) and all(len(row) >= 5 and all(map(_is_number, row)) for row in rows)


def _numbers(row: list[str]) -> tuple[int, Outline]:
    try:
        values = tuple(map(float, row))
    except ValueError:
        if len(row) >= 9 and not _is_number(row[8]):
            raise ValueError("oriented boxes in DOTA's format (8 numbers and a name) are not read") from None
        shown = next(value for value in row if not _is_number(value))
        raise ValueError(f"expected numbers only, got '{legible(shown[:40])}'") from None
    label = int(values[0]) if abs(values[0]) < 1e9 else -1
    if label != values[0] or label < 0:
        raise ValueError(f"expected the number of a class, got {row[0]}")
    wrong = next((value for value in values[1:5] if not _FRACTIONS[0] <= value <= _FRACTIONS[1]), None)
    if wrong is not None:
        raise ValueError(f"expected fractions of the width and height of the image, 0 to 1, got {wrong:g}")
    return label, values[1:]


def _box(values: Outline, keypoints: bool) -> Box:
    """Return the edges of a box, or those of an outline.

    Raises:
        ValueError: There are other numbers.
    """
    if len(values) == 4 or (keypoints and len(values) > 4):
        x, y, width, height = values[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"expected a class and 4 numbers, or an outline of x and y, got {len(values)} numbers")
    across, down = values[::2], values[1::2]
    return min(across), min(down), max(across), max(down)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
