"""How the values of masks become classes. No torch here."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tlx.data.ignored import IGNORED
from tlx.data.reading.mask_facts import MaskFacts
from tlx.data.reading.mask_values import MaskValues
from tlx.data.reading.windows import in_pieces

Space = Literal["numbers", "colours", "labels"]
Values = npt.NDArray[np.unsignedinteger]
_GRAY = 0x010101
_NONE = np.uint32(2**32 - 1)  # stands for what has no place in a space


@dataclass(frozen=True)
class ClassCodes:
    """Which value means which class, in all masks of a set.

    Args:
        space: What the values are that `pairs` lists: numbers (of a palette its places), colours 0xRRGGBB, or labels of
            outlines, None for pixels without an object.
        pairs: Value and class; `IGNORED` for values that count nowhere.
        rest: The class of all other values.
        half: Of masks with blurred edges: a number, the class below it, and that from it on; None: `pairs` decides.
        by_colour: Whether places in a palette are taken for the gray that they show, as the set has gray masks as well.
    """

    space: Space
    pairs: tuple[tuple[Any, int], ...]
    rest: int = IGNORED
    half: tuple[int, int, int] | None = None
    by_colour: bool = False

    @functools.cached_property
    def classes(self) -> Mapping[Any, int]:
        """Value -> class."""
        return dict(self.pairs)

    @functools.cached_property
    def digest(self) -> str:
        """A short text that differs where the classes of some value may differ."""
        identity = repr((self.space, self.pairs, self.rest, self.half, self.by_colour))
        return blake2b(identity.encode(errors="backslashreplace"), digest_size=6).hexdigest()

    def class_of(self, value: Any) -> int:
        """Return the class of a value of this space."""
        if self.half is not None:
            start, below, above = self.half
            return above if value is None or value >= start else below
        return self.classes.get(value, self.rest)

    def is_known(self, value: Any) -> bool:
        """Return whether a value of this space is one that a mask may have."""
        return self.half is not None or self.rest != IGNORED or value in self.classes

    def values_of(self, facts: MaskFacts) -> list[tuple[Any, int]]:
        """Return the values of a mask in this space, each with its pixels; None: it has no such value."""
        if self.space == "labels" or facts.kind == "labels":
            return [(v if self.space == facts.kind else None, n) for v, n in facts.values]
        if facts.kind == "palette" and (self.space == "colours" or self.by_colour):
            values = [_in_space(colour, "colours", self.space) for colour in facts.colours]
        else:
            kind = "colours" if facts.kind == "colours" else "numbers"
            values = [_in_space(value, kind, self.space) for value, _ in facts.values]
        return list(zip(values, (count for _, count in facts.values), strict=True))

    def apply(self, mask: MaskValues) -> npt.NDArray[np.uint8]:
        """Return the class of each pixel, uint8 (H, W)."""
        found = np.empty(mask.values.shape, dtype=np.uint8)
        for rows in in_pieces(found.shape):  # numpy makes indices of 8 bytes of them
            found[rows] = self._applied(mask, mask.values[rows])
        return found

    def _applied(self, mask: MaskValues, values: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint8]:
        """Return the classes of some values of a mask."""
        if mask.palette is not None and (self.space == "colours" or self.by_colour):
            return np.take(_searched(self, self._from_colours(mask.palette)), values)
        if mask.kind == "colours":
            return _searched(self, self._from_colours(values))
        if values.dtype.itemsize <= 2:
            return np.take(_table(self, 2 ** (8 * values.dtype.itemsize)), values)
        return _searched(self, self._from_numbers(values))

    def _from_colours(self, colours: Values) -> Values:
        if self.space == "colours":
            return colours
        gray = colours % 256
        return np.where(gray * _GRAY == colours, gray, _NONE)

    def _from_numbers(self, numbers: Values) -> Values:
        if self.space == "numbers":
            return numbers
        return np.where(numbers < 256, numbers.astype(np.uint32) * np.uint32(_GRAY), _NONE)


def _searched(codes: ClassCodes, values: Values) -> npt.NDArray[np.uint8]:
    """The classes of values of the codes' space."""
    if codes.half is not None:
        start, below, above = codes.half
        return np.where(values >= start, np.uint8(above), np.uint8(below))
    known, classes = _sorted(codes)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[places] == values, classes[places], np.uint8(codes.rest))


@functools.lru_cache(maxsize=16)
def _sorted(codes: ClassCodes) -> tuple[Values, npt.NDArray[np.uint8]]:
    pairs = sorted(codes.pairs)
    return np.array([v for v, _ in pairs], dtype=np.uint32), np.array([c for _, c in pairs], dtype=np.uint8)


@functools.lru_cache(maxsize=16)
def _table(codes: ClassCodes, length: int) -> npt.NDArray[np.uint8]:
    """The class of each number below `length`."""
    return _searched(codes, codes._from_numbers(np.arange(length, dtype=np.uint32)))


def _in_space(value: int, kind: str, space: Space) -> int | None:
    """A number or colour in the other space; None: it has no place there."""
    if kind == space:
        return value
    if kind == "numbers":
        return value * _GRAY if value < 256 else None
    return value % 256 if value % 256 * _GRAY == value else None
