"""Images that annotations in COCO's format list more than once, in one file or in those of several splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlx.base.printable import counted
from tlx.data.sources.coco_file import CocoFile, CocoImage
from tlx.data.sources.coco_layout import CocoPart
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.overlap import apart


@dataclass(frozen=True)
class FoundImages:
    """The images of a file of annotations.

    Args:
        part: The file.
        held: What it holds.
        files: The file of each image.
    """

    part: CocoPart
    held: CocoFile
    files: tuple[Path, ...]


def each_once(found: Sequence[FoundImages], root: Path) -> tuple[list[FoundImages], list[str]]:
    """Return the images, each once and in one split, without empty splits, and remarks for the user.

    An image that one file lists several times, with the same size, has the objects of all these entries. Of an image in
    several splits see `tlx.data.sources.overlap.apart`.

    Args:
        found: The images of each file.
        root: The set's folder.
    """
    merged = [_merged(one) for one in found]
    twice = [file for _, repeated in merged for file in repeated]
    notes = []
    if twice:
        count = counted(len(twice), "image", "images")
        notes.append(
            f"listed more than once in one file, read with the objects of all entries, {count}: {names_of(twice, root)}"
        )
    kept = [one for one, _ in merged]
    if len(kept) == 1:
        return kept, notes
    splits, overlaps = apart({str(one.part.split): one.files for one in kept}, root)
    chosen = [_only(one, set(splits.get(str(one.part.split), ()))) for one in kept]
    return [one for one in chosen if one.files], [*notes, *overlaps]


def _merged(found: FoundImages) -> tuple[FoundImages, list[Path]]:
    """Return the images with one entry for each file and size, and the files that had several."""
    entries: dict[tuple[Path, int, int], list[CocoImage]] = {}
    for file, image in zip(found.files, found.held.images, strict=True):
        entries.setdefault((file, image.width, image.height), []).append(image)
    repeated = [file for (file, _, _), own in entries.items() if len(own) > 1]
    if not repeated:
        return found, []
    images = tuple(
        replace(own[0], objects=tuple(one for image in own for one in image.objects)) for own in entries.values()
    )
    return FoundImages(found.part, replace(found.held, images=images), tuple(file for file, _, _ in entries)), repeated


def _only(found: FoundImages, files: set[Path]) -> FoundImages:
    kept = [(file, image) for file, image in zip(found.files, found.held.images, strict=True) if file in files]
    images = tuple(image for _, image in kept)
    return FoundImages(found.part, replace(found.held, images=images), tuple(file for file, _ in kept))
