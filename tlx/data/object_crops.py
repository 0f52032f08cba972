"""A set of images of single objects, with a class each, made from a set of images with boxes. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor

from tlx.base.printable import counted
from tlx.data.box_labels import Box, Boxes
from tlx.data.labels import CLASSES
from tlx.data.reading.facts import Facts
from tlx.data.region import Region, key_of_part
from tlx.data.splits.samples import ImageSet, Sample, Split


def object_crops(images: ImageSet, margin: float) -> ImageSet:
    """Return the objects of images with boxes as images with a class, in the splits of their images.

    Ignored objects are left out, and so are images without objects.

    Args:
        images: Images with boxes.
        margin: What is added on each side of a box, in times its width or height.
    """
    parts = {part: _cropped(split, margin) for part, split in images.splits.items()}
    count = counted(sum(map(len, parts.values())), "object", "objects")
    rule = f"{images.rule}; {count} as images, with a margin of {100 * margin:g} %"
    train, val, test = (parts[part] for part in ("train", "val", "test"))
    return replace(images, train=train, val=val, test=test, rule=rule, labels=CLASSES)


def facts_of_crops(samples: Sequence[Sample], facts: Sequence[Facts]) -> list[Facts]:
    """Return facts of images of objects: their size, and a hash that differs for the objects of one file.

    Args:
        samples: The images of objects.
        facts: Of the file of each.
    """
    return [_of_region(known, sample.region) for sample, known in zip(samples, facts, strict=True)]


def _of_region(facts: Facts, region: Region | None) -> Facts:
    if region is None:
        return facts
    top, left, height, width = region
    shown = (facts.height, facts.width) if facts.turn > 4 else (facts.width, facts.height)
    inside = min(width, shown[0] - left), min(height, shown[1] - top)
    key = None if facts.key is None else key_of_part(bytes.fromhex(facts.key), region).hex()
    return replace(facts, key=key, width=inside[0], height=inside[1], turn=1, thumbnail="")


def _cropped(split: Split, margin: float) -> Split:
    samples = [
        Sample(one.source, label, _name(one.name, box), one.group, _region(box, margin))
        for one in split.samples
        for box, label in _objects(one.target)
    ]
    return Split(samples, split.pixels)


def _objects(boxes: Boxes) -> list[tuple[Box, int]]:
    pairs = zip(boxes.boxes(), boxes.classes, boxes.ignored, strict=True)
    return [(box, label) for box, label, ignored in pairs if not ignored]


def _name(image: str, box: Box) -> str:
    return f"{image} at " + ",".join(f"{edge:.0f}" for edge in box)


def _region(box: Box, margin: float) -> Region:
    """Return the part of an image around a box; it may reach beyond the right and bottom edges of the image."""
    left, top, right, bottom = box
    across, down = margin * (right - left), margin * (bottom - top)
    start = max(0, floor(top - down)), max(0, floor(left - across))
    return *start, max(1, ceil(bottom + down) - start[0]), max(1, ceil(right + across) - start[1])
