"""Groups of images that must stay on one side of a split, such as those of a patient, plate, scene or camera.

A test on patients that were in the training set measures what the network memorised. So images that are connected by a
common group or by equal content form a block, and a split contains a block as a whole or not at all. No torch here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import floor

from tlx.base.errors import TlxError
from tlx.data.labels import NO_CLASS

_FUZZ = 1e-9  # rounding error of a gain, which is a sum of a few fractions
_PAIRS = 20_000  # with more pairs of blocks than this, no exchange is tried
_PASSES = 10  # at most, over all pairs


def groups_by_pattern(names: Sequence[str], pattern: str) -> list[str]:
    """Return what a regular expression finds in each name: its first group, or the whole match if it has no group.

    Of alternatives with a group each, such as `(patient\\d+)_|(p\\d+)-`, the group that matched is returned.

    Args:
        names: Paths of images relative to the set's root, with `/` between folders.
        pattern: Searched anywhere in a name.

    Raises:
        TlxError: The pattern is not a valid regular expression, or finds nothing in a name.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise TlxError(
            f"dataset.group_pattern: expected a regular expression, got '{pattern}' ({error}); "
            r"for example dataset.group_pattern='(patient\d+)_'"
        ) from error
    found = [_found(expression.search(name)) for name in names]
    missing = [name for name, group in zip(names, found, strict=True) if not group]
    if missing:
        raise TlxError(
            f"dataset.group_pattern: expected '{pattern}' to find a group in the path of every image, got "
            f"{len(missing):,} of {len(names):,} without: {missing[0]}; to match other names as well: "
            f"dataset.group_pattern='{pattern}|(OTHER)'"
        )
    return found


def _found(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    return next((group for group in match.groups() if group), "") if match.re.groups else match[0]


@dataclass(frozen=True)
class Block:
    """Samples that must not be divided.

    Args:
        positions: Positions of its samples, ascending.
        counts: Maps a class to the number of its samples that show it, and NO_CLASS to those that show none.
        name: A name that does not depend on the order of the samples; its hash with the seed determines the order of
            blocks.
    """

    positions: list[int]
    counts: Counter[int]
    name: bytes


def blocks_of(keys: Sequence[bytes], classes: Sequence[Sequence[int]], groups: Sequence[str | None]) -> list[Block]:
    """Join samples into blocks: the connected components of equal content and common groups.

    Args:
        keys: Key of each sample's content.
        classes: Classes that each sample shows.
        groups: Group of each sample; None if it has no group.
    """
    parents = list(range(len(keys)))

    def root(position: int) -> int:
        while parents[position] != position:
            parents[position] = parents[parents[position]]
            position = parents[position]
        return position

    first: dict[bytes | str, int] = {}
    for position, (key, group) in enumerate(zip(keys, groups, strict=True)):
        for link in (key, group):
            if link is not None:
                parents[root(position)] = root(first.setdefault(link, position))
    members: dict[int, list[int]] = {}
    for position in range(len(keys)):
        members.setdefault(root(position), []).append(position)
    return [
        Block(positions, _counts(classes, positions), _name(keys, groups, positions)) for positions in members.values()
    ]


def divide_blocks(blocks: Sequence[Block], fractions: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Divide blocks into the named parts and `train`, each class as near to its share as whole blocks allow.

    The parts are filled one after another. Blocks with the rarest class come first, ordered by hash(seed, name). A
    block is added to a part if that brings its classes nearer to round(fraction * images of the class); deviations are
    relative to the size of the class. If there are few blocks, some are then exchanged as long as that brings the
    classes nearer still. The first part does not depend on the fraction of the second. A class in more blocks than
    there are `fractions` gives one to each part if the other classes allow it; every class keeps a block in `train`.

    Args:
        blocks: From `blocks_of`.
        fractions: Maps a part to its fraction of all samples, in [0, 1); the sum is below 1.
        seed: Any integer.

    Returns:
        Part -> positions of its samples, ascending.
    """
    sizes: Counter[int] = Counter()
    homes: Counter[int] = Counter()  # class -> number of blocks that contain it
    for block in blocks:
        sizes.update(block.counts)
        homes.update(block.counts.keys())

    def order(block: Block) -> tuple[int, bytes]:
        return min(sizes[label] for label in block.counts), rank_of(seed, block.name)

    left = sorted(blocks, key=order)
    parts: dict[str, list[Block]] = {}
    for part, fraction in fractions.items():
        wanted = {label: floor(fraction * size + 0.5) for label, size in sizes.items()}
        required = {label for label in wanted if fraction > 0 and homes[label] > len(fractions)}
        parts[part], left = _take(left, wanted | {label: max(wanted[label], 1) for label in required}, required, sizes)
    parts["train"] = left
    return {part: sorted(p for block in taken for p in block.positions) for part, taken in parts.items()}


def _take(
    blocks: list[Block], wanted: Mapping[int, int], required: set[int], sizes: Mapping[int, int]
) -> tuple[list[Block], list[Block]]:
    """Return the blocks that a part takes, and the remaining blocks.

    Args:
        blocks: Blocks in their order.
        wanted: Maps a class to the number of samples that the part should take.
        required: Classes of which the part should get at least one block, whatever its size.
        sizes: Maps a class to its number of samples.
    """
    part = _Part(blocks, wanted, required, sizes)
    for i in range(len(blocks)):
        if part.gain(None, i) > -_FUZZ and part.allows(None, i):
            part.exchange(None, i)
    for label in sorted(required):
        if not part.inside[label]:  # all of its blocks are too large
            free = [i for i in part.left() if label in blocks[i].counts and part.allows(None, i)]
            if free:
                part.exchange(None, max(free, key=lambda i: (part.gain(None, i), -i)))
    part.improve()
    return [blocks[i] for i in sorted(part.taken)], [blocks[i] for i in part.left()]


class _Part:
    """A part that takes and returns blocks, given by their indices; None means no block.

    Args: As for `_take`.
    """

    def __init__(
        self, blocks: list[Block], wanted: Mapping[int, int], required: set[int], sizes: Mapping[int, int]
    ) -> None:
        self.counts: dict[int | None, Mapping[int, int]] = {i: block.counts for i, block in enumerate(blocks)}
        self.counts[None] = {}
        self.required, self.sizes = required, sizes
        self.room = dict(wanted)  # class -> samples that are still missing; negative: too many
        self.taken: set[int] = set()
        self.inside: Counter[int] = Counter()  # class -> number of taken blocks that contain it
        self.outside: Counter[int] = Counter(label for block in blocks for label in block.counts)

    def left(self) -> list[int]:
        """Return the blocks that were not taken, in order."""
        return [i for i in self.counts if i is not None and i not in self.taken]

    def gain(self, out: int | None, into: int | None) -> float:
        """Return by how much an exchange of blocks reduces the relative deviations of the classes."""
        lost, gained = self.counts[out], self.counts[into]
        return sum(
            (abs(self.room[c]) - abs(self.room[c] + lost.get(c, 0) - gained.get(c, 0))) / self.sizes[c]
            for c in sorted({*lost, *gained})
        )

    def allows(self, out: int | None, into: int | None) -> bool:
        """Return whether an exchange leaves every class a block outside, and every required class a block inside."""
        lost, gained = self.counts[out], self.counts[into]
        return all(self.outside[c] > 1 or c in lost for c in gained) and not any(
            self.inside[c] == 1 and c in self.required and c not in gained for c in lost
        )

    def exchange(self, out: int | None, into: int | None) -> None:
        """Return one block and take another."""
        for block, sign in ((out, -1), (into, 1)):
            for label, count in self.counts[block].items():
                self.room[label] -= sign * count
                self.inside[label] += sign
                self.outside[label] -= sign
        if out is not None:
            self.taken.remove(out)
        if into is not None:
            self.taken.add(into)

    def improve(self) -> None:
        """Exchange blocks while that reduces the deviations; with many blocks no single one matters."""
        for _ in range(_PASSES if len(self.taken) * len(self.left()) <= _PAIRS else 0):
            changed = False
            for out in (None, *sorted(self.taken)):
                gains = [(self.gain(out, into), into) for into in (None, *self.left()) if self.allows(out, into)]
                best, into = max(gains, key=lambda pair: pair[0], default=(0.0, None))
                if best > _FUZZ:
                    self.exchange(out, into)
                    changed = True
            if not changed:
                return


def _counts(classes: Sequence[Sequence[int]], positions: Sequence[int]) -> Counter[int]:
    return Counter(label for p in positions for label in classes[p] or (NO_CLASS,))


def _name(keys: Sequence[bytes], groups: Sequence[str | None], positions: Sequence[int]) -> bytes:
    """Return the first group of a block, so that new images of a patient do not move it; without groups, a key."""
    named = [group for group in (groups[p] for p in positions) if group is not None]
    return b"group " + min(named).encode("utf-8", "surrogateescape") if named else min(keys[p] for p in positions)


def rank_of(seed: int, name: bytes) -> bytes:
    """Return the place of a name, or of a content hash, in the order that a seed determines: a hash of both."""
    return blake2b(name, digest_size=16, salt=(seed % 2**64).to_bytes(8, "little")).digest()
