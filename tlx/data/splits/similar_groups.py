"""Groups of pictures that are linked by pairs, without unbounded chains."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

MOST = 50  # pictures in a group: frames of a film would otherwise become one, and a split could not be carved

K = TypeVar("K", bound=Hashable)


class Pair(NamedTuple):
    """Two pictures that show nearly the same.

    Args:
        one: Position of the first.
        other: Position of the second, greater than that of the first.
        score: How far they agree, at most 1.
    """

    one: int
    other: int
    score: float


def linked(keys: Sequence[K], pairs: Iterable[Pair], most: int = MOST) -> list[list[int]]:
    """Return groups of positions, ascending: keys that pairs link, the most alike first, up to a number of keys.

    Positions with equal keys are one picture. Groups of one key are left out.

    Args:
        keys: A key of each position, such as a hash of the content.
        pairs: Which positions belong together.
        most: Keys in a group at most; a pair that would make a larger one is left out.
    """
    members: dict[K, list[K]] = {key: [key] for key in keys}  # shared by all keys of a group
    for one, other, _ in sorted(pairs, key=lambda pair: (-pair.score, pair.one, pair.other)):
        first, second = members[keys[one]], members[keys[other]]
        if first is not second and len(first) + len(second) <= most:
            first += second
            members.update(dict.fromkeys(second, first))
    found: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        if len(members[key]) > 1:
            found.setdefault(id(members[key]), []).append(position)
    return sorted(found.values())
