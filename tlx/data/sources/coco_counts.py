"""Pixels of each class in the masks of a file of annotations, counted once and kept like facts of files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from tlx.data.reading.facts_store import FactsStore
from tlx.data.reading.file_facts import FileFacts
from tlx.data.sources.coco_mask import CocoMask


@dataclass(frozen=True, slots=True)
class DrawnFacts(FileFacts):
    """What was found out by drawing the objects of an image.

    Args:
        reason: Why they cannot be drawn; None: they can.
        counts: Class and pixels.
        lasting: Whether drawing again would find the same.
    """

    table: ClassVar[str] = "facts_of_drawn_masks_1"
    question: ClassVar[str] = "drawn"
    decoded: ClassVar[bool] = True  # type: ignore[misc]

    reason: str | None
    counts: tuple[tuple[int, int], ...] = ()
    lasting: bool = True

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Return the facts that JSON holds."""
        reason, counts, lasting = values
        return cls(reason, tuple((one, count) for one, count in counts), lasting)

    @classmethod
    def rules(cls) -> str:
        """By what verdicts are reached."""
        return "1"

    @classmethod
    def failed(cls, reason: str, decoded: bool = False) -> Self:
        """Return the facts of objects that could not be drawn this time."""
        return cls(reason, lasting=False)


def counted_masks(file: Path, masks: Sequence[CocoMask]) -> list[CocoMask]:
    """Return the masks with their pixels a class, or with a fault where their objects cannot be drawn.

    Args:
        file: Their annotations; while this file stays as it is, masks are drawn once.
        masks: All masks of the file.
    """
    from tqdm import tqdm

    stat = os.stat(file)
    stamp = stat.st_size, stat.st_mtime_ns
    names = [f"{os.path.abspath(file)}#{mask!r}" for mask in masks]
    store = FactsStore(DrawnFacts)
    known = store.get(dict.fromkeys(names, stamp), decoded=True)
    new = [place for place, name in enumerate(names) if name not in known]
    for place in tqdm(new, desc="drawing masks", unit=" masks", leave=False, disable=not sys.stderr.isatty()):
        known[names[place]] = _drawn(masks[place])
    store.put([(names[place], stamp, known[names[place]]) for place in new])
    return [_with(mask, known[name]) for mask, name in zip(masks, names, strict=True)]


def _drawn(mask: CocoMask) -> DrawnFacts:
    try:
        return DrawnFacts(None, tuple(mask.pixel_counts.items()))
    except ValueError as error:
        return DrawnFacts(f"its annotations cannot be drawn: {error}")


def _with(mask: CocoMask, facts: DrawnFacts) -> CocoMask:
    return replace(mask, fault=mask.fault or facts.reason, known=dict(facts.counts))
