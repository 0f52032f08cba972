"""Make the mask of each image of a file of annotations: sizes are compared, objects drawn once to be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tlx.data.reading.facts import Facts
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.sources.coco_counts import counted_masks
from tlx.data.sources.coco_file import CocoFile, CocoImage
from tlx.data.sources.coco_mask import CocoMask
from tlx.data.sources.turns import Frame, Sizes, turns


def labelled_objects(
    file: Path,
    held: CocoFile,
    images: Sequence[Path],
    names: Sequence[str],
    numbers: Mapping[str, int],
    exif: Frame,
) -> tuple[list[CocoMask], list[str]]:
    """Return the mask of each image, and remarks for the user.

    Args:
        file: The annotations.
        held: What they hold.
        images: The file of each image.
        names: What a person calls it.
        numbers: Class of each category; objects of others are left out.
        exif: See `tlx.data.sources.turns.turns`.
    """
    with decoding(True):
        facts = file_facts(images)
    sizes = [_sizes(known, image, exif) for known, image in zip(facts, held.images, strict=True)]
    turned, remarks = turns(sizes, exif)
    masks = []
    for name, size, image, turn in zip(names, sizes, held.images, turned, strict=True):
        objects = tuple(
            (one, numbers[one.category]) for one in image.objects if one.category in numbers and one.has_mask
        )
        fault = None
        if size.frame is None or 0 in size.drawn:
            (width, height), (own, high) = size.shown, size.drawn
            fault = f"expected annotations of {width} x {height} pixels, as the image has, got {own} x {high}"
        masks.append(CocoMask(name, size.drawn, objects, turn, fault))
    usable = [place for place, mask in enumerate(masks) if mask.fault is None]
    for place, mask in zip(usable, counted_masks(file, [replace(masks[p], turn=1) for p in usable]), strict=True):
        masks[place] = replace(mask, turn=turned[place])
    return masks, remarks


def _sizes(facts: Facts, image: CocoImage, exif: Frame) -> Sizes:
    """The sizes to compare. Where annotations name none, corners outside the image as it is shown say how it lay."""
    size = Sizes((facts.width, facts.height), facts.turn, (image.width, image.height))
    if 0 not in size.drawn:
        return size
    outlines = (outline for one in image.objects for outline in one.outlines)
    found = replace(size, drawn=(0, 0)).by_corners(
        corner for outline in outlines for corner in zip(outline[::2], outline[1::2], strict=True)
    )
    return found if 0 not in found.drawn else replace(found, drawn=size.image if exif == "raw" else size.shown)
