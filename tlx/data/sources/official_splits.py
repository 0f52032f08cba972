"""The splits that a set of files names, by folders or lists. Only the standard library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import Field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from tlx.base.errors import TlxError
from tlx.base.printable import counted
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.mask_names import stem_of
from tlx.data.sources.overlap import apart


class Placed(Protocol):
    """An image with its label, in a split or in none; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def image(self) -> Path:
        """Its file."""

    @property
    def split(self) -> str | None:
        """`train`, `val` or `test`; None: not known."""

    @property
    def is_labelled(self) -> bool:
        """Whether it has a file of labels."""


P = TypeVar("P", bound=Placed)


def official(
    images: Sequence[P], lists: Mapping[str, tuple[Path, AbstractSet[str]]], root: Path, label: str
) -> tuple[list[P], list[str]]:
    """Return the images that belong to the set, each with its split, and remarks for the user.

    Left out are images that no list names, the images of val or test if none of them is labelled, and images outside
    the splits.

    Args:
        images: The images, with the splits that their folders name.
        lists: Split -> its list and the stems of the images in it; empty: folders decide.
        root: The set's folder.
        label: What labels an image: `a mask`.

    Raises:
        TlxError: There are images of val or test, and none of train.
    """
    found, notes = list(images), []
    if lists:
        named = {one.image: _listed(one, lists) for one in found}
        unplaced = sum(not parts for parts in named.values())
        if unplaced:
            notes.append(f"left out, {counted(unplaced, 'image', 'images')} that no list of a split names")
        splits, overlaps = apart({part: [i for i, own in named.items() if part in own] for part in lists}, root)
        notes += overlaps
        places = {image: part for part, images in splits.items() for image in images}
        found = [replace(one, split=places[one.image]) for one in found if one.image in places]
    for part in ("val", "test"):
        own = [one for one in found if one.split == part]
        if own and not any(one.is_labelled for one in own):
            notes.append(f"left out, the {len(own):,} images of {part}: none of them has {label}")
            found = [one for one in found if one.split != part]
    if any(one.split for one in found) and not any(one.split == "train" for one in found):
        beside = ", ".join(sorted({one.split or "none" for one in found}))
        raise TlxError(f"{root}: expected images of train beside those of {beside}")
    outside = [one.image for one in found if one.split is None]
    if outside and len(outside) < len(found):
        count = counted(len(outside), "image", "images")
        notes.append(f"left out, {count} outside the splits: {names_of(outside, root)}")
        found = [one for one in found if one.split is not None]
    return found, notes


def _listed(one: Placed, lists: Mapping[str, tuple[Path, AbstractSet[str]]]) -> list[str]:
    """Return the splits whose lists name an image; its folder decides if images of one name are in several lists."""
    stem = stem_of(one.image.name)
    parts = [part for part, (_, stems) in lists.items() if stem in stems]
    return [one.split] if one.split in parts else parts
