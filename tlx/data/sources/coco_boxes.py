"""Make the boxes of each image of a file of annotations; an object without a box gets the one around its outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tlx.data.box_labels import Box, Boxes
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.sources.box_repairs import WrittenBoxes, repaired
from tlx.data.sources.coco_file import CocoFile, CocoImage, CocoObject, Runs
from tlx.data.sources.turns import Frame


def boxed_objects(
    held: CocoFile, images: Sequence[Path], names: Sequence[str], numbers: Mapping[str, int], exif: Frame
) -> tuple[list[Boxes], list[str]]:
    """Return the boxes of each image, and remarks for the user.

    Args:
        held: What the file of annotations holds.
        images: The file of each image.
        names: What a person calls it.
        numbers: Class of each category; objects of others are left out.
        exif: See `tlx.data.sources.turns.turns`.
    """
    with decoding(True):
        facts = file_facts(images)
    return repaired(facts, [_written(image, numbers) for image in held.images], names, exif)


def _written(image: CocoImage, numbers: Mapping[str, int]) -> WrittenBoxes:
    objects = [one for one in image.objects if one.category in numbers]
    size = image.width, image.height
    try:
        found = [(box, one) for one in objects if (box := _box(one)) is not None]
    except ValueError as error:
        return WrittenBoxes(size=size, problem=f"its annotations cannot be drawn: {error}")
    return WrittenBoxes(
        tuple(box for box, _ in found),
        tuple(numbers[one.category] for _, one in found),
        tuple(one.is_crowd for _, one in found),
        size,
    )


def _box(one: CocoObject) -> Box | None:
    """Return left, top, right and bottom of an object; None: it has neither a box nor a mask.

    Raises:
        ValueError: Runs do not fill their mask.
    """
    if one.box is not None:
        left, top, width, height = one.box
        return left, top, left + width, top + height
    if one.runs is not None:
        return _around_runs(one.runs)
    if not one.outlines:
        return None
    x, y = ([edge for outline in one.outlines for edge in outline[axis::2]] for axis in (0, 1))
    return min(x), min(y), max(x), max(y)


def _around_runs(runs: Runs) -> Box | None:
    import numpy as np

    from tlx.data.reading.rle import decoded

    counts, width, height = runs
    inside = decoded(counts, (width, height))
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
