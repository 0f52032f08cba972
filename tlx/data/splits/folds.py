"""Folds: the images that train and validate, in parts that validate in turn. No torch unless images are in memory.

A fold is a pure function of content, classes, groups and seed, as the other splits are (`division.py`). Images of equal
content and of one group are in one fold, and each class is spread over the folds as evenly as that allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tlx.base.errors import TlxError
from tlx.base.printable import counted, enumerated
from tlx.data.labels import NO_CLASS
from tlx.data.splits.division import split_keys
from tlx.data.splits.groups import Block, blocks_of, rank_of
from tlx.data.splits.samples import ImageSet, Split

_PASSES = 10  # at most, over all blocks
_MOVES = 5_000  # blocks; with more of them no single one matters
_FUZZ = 1e-9  # rounding error of a cost, which is a sum of a few fractions


def divide_into_folds(blocks: Sequence[Block], folds: int, seed: int) -> list[list[int]]:
    """Divide blocks of samples into folds, each class as evenly as whole blocks allow.

    Blocks with the rarest class come first, then the largest ones, in the order of hash(seed, name). Each goes to the
    fold that has the fewest images of its classes, relative to the size of a class, and of such folds to the smallest
    one. If there are few blocks, some are then moved as long as that makes the classes more even.

    Args:
        blocks: From `blocks_of`.
        folds: Number of folds, at least 2.
        seed: Any integer.

    Returns:
        The positions of the samples of each fold, ascending.
    """
    sizes: Counter[int] = Counter()
    for block in blocks:
        sizes.update(block.counts)

    def order(block: Block) -> tuple[int, int, bytes]:
        return min(sizes[label] for label in block.counts), -len(block.positions), rank_of(seed, block.name)

    ordered = sorted(blocks, key=order)
    inside = [Counter[int]() for _ in range(folds)]  # class -> images of each fold
    images = [0] * folds
    home: list[int] = []

    def cost(block: Block, fold: int) -> float:
        """Return by how much the block makes the classes more uneven there, without what is the same for all folds."""
        return sum(count * inside[fold][label] / sizes[label] for label, count in sorted(block.counts.items()))

    def put(block: Block, fold: int, sign: int) -> None:
        images[fold] += sign * len(block.positions)
        for label, count in block.counts.items():
            inside[fold][label] += sign * count

    for block in ordered:
        home.append(min(range(folds), key=lambda fold: (round(cost(block, fold), 9), images[fold], fold)))
        put(block, home[-1], 1)
    for _ in range(_PASSES if len(ordered) <= _MOVES else 0):
        moved = False
        for i, block in enumerate(ordered):
            put(block, home[i], -1)
            best = min(range(folds), key=lambda fold: (cost(block, fold), images[fold], fold))
            if cost(block, best) < cost(block, home[i]) - _FUZZ:
                home[i], moved = best, True
            put(block, home[i], 1)
        if not moved:
            break
    parts: list[list[int]] = [[] for _ in range(folds)]
    for block, fold in zip(ordered, home, strict=True):
        parts[fold] += block.positions
    return [sorted(part) for part in parts]


class Folds:
    """The training and validation images of a set together, and their division into folds.

    Args:
        images: The set. An official validation split is pooled with train, as one that tlx carved is.
        folds: Number of folds.
        seed: Seed of the division.
        key: The key of the configuration that holds the number of folds, for messages.

    Attributes:
        pool: The images that train and validate.
        parts: Positions in the pool of the images of each fold, ascending.

    Raises:
        TlxError: There are too few images or groups; the message says what to type.
    """

    def __init__(self, images: ImageSet, folds: int, seed: int, key: str = "dataset.folds") -> None:
        self.images, self.folds, self.seed, self.key = images, folds, seed, key
        self.pool = pooled(images.train, images.val)
        classes = [images.class_ids(sample) for sample in self.pool.samples]
        blocks = blocks_of(split_keys(self.pool), classes, self.pool.groups)
        self._refuse_few(blocks)
        self.parts = divide_into_folds(blocks, folds, seed)

    def held_out(self, fold: int) -> ImageSet:
        """Return the set whose validation split is a fold, from 1 to `folds`; the others train."""
        if not 1 <= fold <= self.folds:
            raise TlxError(f"dataset.fold: expected 1 to {self.folds}, got {fold}")
        own = set(self.parts[fold - 1])
        train = self.pool.take([i for i in range(len(self.pool)) if i not in own])
        rule = f"{self.images.rule}; {self.rule(f'fold {fold} of {self.folds}')}"
        return self._as_carved(train, self.pool.take(self.parts[fold - 1]), rule)

    def undivided(self) -> ImageSet:
        """Return the set with all images of the folds as its training split, and no validation split."""
        return self._as_carved(self.pool, Split([], self.pool.pixels), f"{self.images.rule}; {self.rule('each fold')}")

    def rule(self, val: str) -> str:
        """Return the division in words.

        Args:
            val: What the validation split is.
        """
        official = "val" not in self.images.carved and len(self.images.val) > 0
        pool = f"train and {'the official ' if official else ''}val together"
        known = {group for group in self.pool.groups if group is not None}
        method = f"keeping {counted(len(known), 'group', 'groups')} whole" if known else "class by class, by content"
        return f"val is {val} of {pool}, {method}, seed {self.seed}"

    def _as_carved(self, train: Split, val: Split, rule: str) -> ImageSet:
        return replace(self.images, train=train, val=val, rule=rule, carved=self.images.carved | {"val"})

    def _refuse_few(self, blocks: Sequence[Block]) -> None:
        grouped = any(group is not None for group in self.pool.groups)
        unit = "groups of images" if grouped else "different images"
        if len(blocks) < self.folds:
            raise TlxError(
                f"{self.key}: expected at most {len(blocks)}, the {unit} that train and validate, got {self.folds}; "
                + self._to_type(len(blocks), "add images")
            )
        if self.images.labels.in_parts:  # images show several classes, and a rare one may be in few of them
            return
        homes = Counter(label for block in blocks for label in block.counts if label != NO_CLASS)
        few = sorted((count, self.images.class_names[label]) for label, count in homes.items() if count < self.folds)
        if few:
            raise TlxError(
                f"{self.key}: expected at most the {unit} of each class that train and validate, got {self.folds}; "
                f"too few in: {enumerated([f'{name} {count}' for count, name in few])}; "
                + self._to_type(few[0][0], "add images, or leave the class out: dataset.classes=[…]")
            )

    def _to_type(self, most: int, otherwise: str) -> str:
        return f"for example {self.key}={most}" if most >= 2 else otherwise


def pooled(train: Split, val: Split) -> Split:
    """Return the samples of two splits as one, sorted by name, so that their order does not depend on the splits.

    Raises:
        TlxError: They are in memory, and their images differ in size.
    """
    samples, pixels = [*train.samples, *val.samples], train.pixels
    if val.samples and val.pixels is not train.pixels:
        if train.pixels is None or val.pixels is None or train.pixels.shape[1:] != val.pixels.shape[1:]:
            raise TlxError(
                "dataset.folds: expected training and validation images that can be pooled, all of one size in memory, "
                "got others; type dataset.folds=null"
            )
        import torch

        shift = len(train.pixels)
        moved = (replace(one, source=shift + one.source) for one in val.samples if isinstance(one.source, int))
        samples, pixels = [*train.samples, *moved], torch.cat([train.pixels, val.pixels])
    return Split(sorted(samples, key=lambda one: (one.name, str(one.source))), pixels)
