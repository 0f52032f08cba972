"""Groups of images that must stay on one side of a split: of one patient, plate, scene or camera. No torch here.

Who sees a patient in training and is tested on another picture of the same patient is tested on what it has learned by
heart. So groups, and images of equal content, are joined to blocks as far as they hang together, and a split takes a
block whole or not at all.
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

_FUZZ = 1e-9  # of a gain, which is a sum of a few fractions
_PAIRS = 20_000  # of blocks, up to which exchanging them is tried
_PASSES = 10


def groups_by_pattern(names: Sequence[str], pattern: str) -> list[str]:
    """What a regular expression finds in each name: its first group, or the whole match where it has none.

    Of alternatives with a group each, `(patient\\d+)_|(p\\d+)-`, it is the one that was found.

    Args:
        names: Paths of images relative to the set's root, with `/` between folders.
        pattern: Looked for anywhere in a name.

    Raises:
        TlxError: It is no regular expression, or finds nothing in a name.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise TlxError(
            f"dataset.group_pattern: expected a regular expression, got '{pattern}' ({error}); "
            r"such as dataset.group_pattern='(patient\d+)_'"
        ) from error
    found = [_found(expression.search(name)) for name in names]
    missing = [name for name, group in zip(names, found, strict=True) if not group]
    if missing:
        raise TlxError(
            f"dataset.group_pattern: expected '{pattern}' to find a group in the path of every image, got "
            f"{len(missing):,} of {len(names):,} without: {missing[0]}; for a second form of names: "
            f"dataset.group_pattern='{pattern}|(OTHER)'"
        )
    return found


def _found(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    return next((group for group in match.groups() if group), "") if match.re.groups else match[0]


@dataclass(frozen=True)
class Block:
    """Samples that hang together.

    Args:
        positions: Of its samples, ascending.
        counts: Class -> its samples that show it; NO_CLASS -> those that show none.
        name: What it is called, the same in any order of the samples: hashed with a seed it gives its turn.
    """

    positions: list[int]
    counts: Counter[int]
    name: bytes


def blocks_of(keys: Sequence[bytes], classes: Sequence[Sequence[int]], groups: Sequence[str | None]) -> list[Block]:
    """Join samples of equal content and of one group, and whatever these have in common, to blocks.

    Args:
        keys: Content of each sample.
        classes: Classes that each sample shows.
        groups: Group of each sample; None: it is in no group.
    """
    parents = list(range(len(keys)))

    def root(position: int) -> int:
        while parents[position] != position:
            parents[position] = parents[parents[position]]
            position = parents[position]
        return position

    first: dict[bytes | str, int] = {}
    for position, (key, group) in enumerate(zip(keys, groups, strict=True)):
        for what in (key, group):
            if what is not None:
                parents[root(position)] = root(first.setdefault(what, position))
    members: dict[int, list[int]] = {}
    for position in range(len(keys)):
        members.setdefault(root(position), []).append(position)
    return [
        Block(positions, _counts(classes, positions), _name(keys, groups, positions)) for positions in members.values()
    ]


def divide_blocks(blocks: Sequence[Block], fractions: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Divide blocks into the named parts and `train`, each class as near to its share as whole blocks allow.

    The parts are filled one after another. A block is taken where that brings the classes in it, each measured by its
    own size, nearer to round(fraction * images of the class); those with the rarest class have the first turn, among
    them the order is that of hash(seed, name). Where there are few blocks some are exchanged afterwards, as long as
    that brings the classes nearer still. The first part does not depend on the fraction of the second. A class in more
    blocks than there are `fractions` gives one to each part, where others let it; no class gives away its last block.

    Args:
        blocks: From `blocks_of`.
        fractions: Part -> fraction of all samples, in [0, 1), in sum below 1.
        seed: Any integer.

    Returns:
        Part -> positions of its samples, ascending.
    """
    sizes: Counter[int] = Counter()
    homes: Counter[int] = Counter()  # class -> blocks that it is in
    for block in blocks:
        sizes.update(block.counts)
        homes.update(block.counts.keys())

    def turn(block: Block) -> tuple[int, bytes]:
        return min(sizes[target] for target in block.counts), _rank(seed, block.name)

    left = sorted(blocks, key=turn)
    parts: dict[str, list[Block]] = {}
    for part, fraction in fractions.items():
        wanted = {target: floor(fraction * size + 0.5) for target, size in sizes.items()}
        asked = {target for target in wanted if fraction > 0 and homes[target] > len(fractions)}
        parts[part], left = _take(left, wanted | {target: max(wanted[target], 1) for target in asked}, asked, sizes)
    parts["train"] = left
    return {part: sorted(p for block in own for p in block.positions) for part, own in parts.items()}


def _take(
    blocks: list[Block], wanted: Mapping[int, int], asked: set[int], sizes: Mapping[int, int]
) -> tuple[list[Block], list[Block]]:
    """What a part gets of the blocks, and what is left of them.

    Args:
        blocks: In their turn.
        wanted: Class -> samples.
        asked: Classes of which it should get a block whatever its size.
        sizes: Class -> samples in all.
    """
    part = _Part(blocks, wanted, asked, sizes)
    for place in range(len(blocks)):
        if part.gain(None, place) > -_FUZZ and part.allows(None, place):
            part.move(None, place)
    for target in sorted(asked):
        if not part.inside[target]:  # all of its blocks are too large
            free = [i for i in part.left() if target in blocks[i].counts and part.allows(None, i)]
            if free:
                part.move(None, max(free, key=lambda place: (part.gain(None, place), -place)))
    part.improve()
    return [blocks[i] for i in sorted(part.taken)], [blocks[i] for i in part.left()]


class _Part:
    """A part that takes blocks and gives them back; None stands for no block.

    Args: As of `_take`.
    """

    def __init__(
        self, blocks: list[Block], wanted: Mapping[int, int], asked: set[int], sizes: Mapping[int, int]
    ) -> None:
        self.counts: dict[int | None, Mapping[int, int]] = {i: block.counts for i, block in enumerate(blocks)}
        self.counts[None] = {}
        self.asked, self.sizes = asked, sizes
        self.room = dict(wanted)  # class -> samples that are still wanted; below 0: that are too many
        self.taken: set[int] = set()
        self.inside: Counter[int] = Counter()  # class -> blocks taken that it is in
        self.outside: Counter[int] = Counter(target for block in blocks for target in block.counts)

    def left(self) -> list[int]:
        """Blocks that were not taken, in their turn."""
        return [i for i in self.counts if i is not None and i not in self.taken]

    def gain(self, out: int | None, into: int | None) -> float:
        """By how much nearer the classes come to what is wanted of them when one block goes and another comes."""
        gone, come = self.counts[out], self.counts[into]
        return sum(
            (abs(self.room[t]) - abs(self.room[t] + gone.get(t, 0) - come.get(t, 0))) / self.sizes[t]
            for t in sorted({*gone, *come})
        )

    def allows(self, out: int | None, into: int | None) -> bool:
        """Whether every class keeps a block outside, and every class that was asked for one inside."""
        gone, come = self.counts[out], self.counts[into]
        return all(self.outside[t] > 1 or t in gone for t in come) and not any(
            self.inside[t] == 1 and t in self.asked and t not in come for t in gone
        )

    def move(self, out: int | None, into: int | None) -> None:
        """Give one block back and take another."""
        for place, sign in ((out, -1), (into, 1)):
            for target, count in self.counts[place].items():
                self.room[target] -= sign * count
                self.inside[target] += sign
                self.outside[target] -= sign
        if out is not None:
            self.taken.remove(out)
        if into is not None:
            self.taken.add(into)

    def improve(self) -> None:
        """Exchange blocks while that brings the classes nearer; not where so many are there that none weighs much."""
        for _ in range(_PASSES if len(self.taken) * len(self.left()) <= _PAIRS else 0):
            moved = False
            for out in (None, *sorted(self.taken)):
                gains = [(self.gain(out, into), into) for into in (None, *self.left()) if self.allows(out, into)]
                best, into = max(gains, key=lambda pair: pair[0], default=(0.0, None))
                if best > _FUZZ:
                    self.move(out, into)
                    moved = True
            if not moved:
                return


def _counts(classes: Sequence[Sequence[int]], positions: Sequence[int]) -> Counter[int]:
    return Counter(one for p in positions for one in classes[p] or (NO_CLASS,))


def _name(keys: Sequence[bytes], groups: Sequence[str | None], positions: Sequence[int]) -> bytes:
    """By its group, so that a patient stays where it is when pictures of it are added; of several by the first."""
    named = [group for group in (groups[p] for p in positions) if group is not None]
    return b"group " + min(named).encode("utf-8", "surrogateescape") if named else min(keys[p] for p in positions)


def _rank(seed: int, name: bytes) -> bytes:
    return blake2b(name, digest_size=16, salt=(seed % 2**64).to_bytes(8, "little")).digest()
