"""What is known of a mask file after it was looked at: its size, and how many pixels have each value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar, Self

import numpy as np
import PIL

from tlx.base.errors import TlxError
from tlx.data.reading.file_facts import FileFacts
from tlx.data.reading.labelme import read_labelme
from tlx.data.reading.mask_values import MaskValues, read_values
from tlx.data.reading.pixels import max_pixels

MOST_VALUES = 1024  # that are kept of a mask, the most frequent ones
OUTLINES = ".json"  # the extension of files of labelme


@dataclass(frozen=True, slots=True)
class MaskFacts(FileFacts):
    """What was found out about a mask.

    Args:
        reason: Why it is broken; None where it is not.
        width: In pixels, upright by the EXIF orientation that the mask itself has; 0 where it is broken.
        height: Likewise.
        kind: What its values are: `numbers`, `palette`, `colours` (0xRRGGBB), or `labels` of outlines.
        values: Each value and its pixels, the most frequent first, 0 in any case; of `labels` the pixels without an
            object have the value None.
        distinct: How many values there are.
        colours: Of `palette`, the colour of each of `values`.
        lossy: Whether the format blurs values.
        transparent: Pixels that were transparent, and count as 0.
        lasting: Whether looking again would find the same.
    """

    table: ClassVar[str] = "facts_of_masks_1"
    question: ClassVar[str] = "mask"
    decoded: ClassVar[bool] = True  # type: ignore[misc]

    reason: str | None
    width: int = 0
    height: int = 0
    kind: str = "numbers"
    values: tuple[tuple[Any, int], ...] = ()
    distinct: int = 0
    colours: tuple[int, ...] = ()
    lossy: bool = False
    transparent: int = 0
    lasting: bool = True

    @property
    def pixels(self) -> int:
        """Pixels of the mask."""
        return self.width * self.height

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Return the facts that JSON holds."""
        reason, width, height, kind, pairs, distinct, colours, *rest = values
        return cls(reason, width, height, kind, tuple((v, n) for v, n in pairs), distinct, tuple(colours), *rest)

    @classmethod
    def rules(cls) -> str:
        """By what verdicts are reached: with another Pillow or another limit they may differ."""
        return f"1 {PIL.__version__} {max_pixels()}"

    @classmethod
    def failed(cls, reason: str, decoded: bool = False) -> Self:
        """Return the facts of a mask that could not be looked at this time."""
        return cls(reason, lasting=False)


def examine_mask(path: str) -> MaskFacts:
    """Read a mask and count its values. Nothing is raised: what is wrong becomes the reason."""
    try:
        if PurePath(path).suffix.lower() == OUTLINES:
            return _of_outlines(path)
        return _of_values(read_values(path))
    except TlxError as error:
        why = str(error).removeprefix(f"cannot read image {path}: ").removeprefix(f"cannot read mask {path}: ")
        return MaskFacts(why)


def _of_values(mask: MaskValues) -> MaskFacts:
    found, counts = counted_values(mask.values)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    pairs = [(int(found[i]), int(counts[i])) for i in order]
    if found[0] == 0 and len(found) > MOST_VALUES and 0 not in order:
        pairs.append((0, int(counts[0])))
    colours = () if mask.palette is None else tuple(int(mask.palette[value]) for value, _ in pairs)
    height, width = mask.values.shape
    found_out = (tuple(pairs), len(found), colours, mask.lossy, mask.transparent)
    return MaskFacts(None, width, height, mask.kind, *found_out)


def counted_values(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values (N,) that an array of whole numbers of any shape has, ascending, and how often (N,)."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return found, counts[found]
    found, counts = np.unique(values, return_counts=True)
    return found, counts


def _of_outlines(path: str) -> MaskFacts:
    outlines = read_labelme(path)
    labels = outlines.labels
    if len(labels) > 255:
        return MaskFacts(f"it has {len(labels)} different labels, more than 255")
    places = {label: place for place, label in enumerate(labels, start=1)}
    found, counts = counted_values(outlines.drawn(places.__getitem__))
    names: list[str | None] = [None, *labels]
    pairs = tuple((names[value], count) for value, count in zip(found.tolist(), counts.tolist(), strict=True))
    return MaskFacts(None, outlines.width, outlines.height, "labels", pairs, len(pairs))
