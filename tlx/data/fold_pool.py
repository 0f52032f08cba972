"""The images of a k-fold cross-validation: loaded and checked once, then divided into each fold and the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tlx.data.augmentation.randomness import mix
from tlx.data.checked import CheckedSet, load_divided
from tlx.data.splits.folds import Folds
from tlx.data.splits.samples import ImageSet, Sample, Split

Home = Mapping[Path | int, int]  # the file or row of an image -> its fold, from 1


@dataclass(frozen=True)
class FoldPool:
    """A loaded set whose training split holds all images of the folds.

    Args:
        checked: The set; its validation split is empty.
        homes: The fold of each image in each repeat. Objects of one image, and files of equal content, share theirs.
        folds: Number of folds.
    """

    checked: CheckedSet
    homes: Sequence[Home]
    folds: int

    @classmethod
    def load(cls, node: Mapping[str, Any], folds: int, repeats: int = 1) -> FoldPool:
        """Load the set of a composed dataset node.

        The first repeat divides as `dataset.folds` does, the others by other seeds.

        Raises:
            TlxError: There are too few images of a class; or as for `load_checked`.
        """
        homes: list[Home] = []

        def undivided(images: ImageSet) -> ImageSet:
            seed = int(node.get("split_seed", 0))
            seeds = [seed, *(mix(seed, "repeat", i) for i in range(1, repeats))]
            divisions = [Folds(images, folds, one, "validation.folds") for one in seeds]
            for one in divisions:
                numbers = ((position, number) for number, part in enumerate(one.parts, 1) for position in part)
                homes.append({one.pool.samples[position].source: number for position, number in numbers})
            return divisions[0].undivided()

        return cls(load_divided(node, undivided), homes, folds)

    @property
    def images(self) -> list[Sample]:
        """All images of the folds, each once."""
        return self.checked.images.train.samples

    def positions(self, number: int) -> list[int]:
        """Return the positions of the images of a fold, ascending; `number` as for `held_out`."""
        repeat, fold = divmod(number - 1, self.folds)
        return [i for i, one in enumerate(self.images) if self.homes[repeat][one.source] == fold + 1]

    def held_out(self, number: int) -> CheckedSet:
        """Return the set whose validation split is a fold, from 1, counted over repeats; the others train."""
        whole, own = self.checked.images.train, self.positions(number)
        held_out = set(own)
        places = {"train": [i for i in range(len(whole)) if i not in held_out], "val": own}
        parts: dict[str, Split] = {part: whole.take(chosen) for part, chosen in places.items()}
        facts = self.checked.facts
        if facts:
            facts = {**facts, **{part: [facts["train"][i] for i in chosen] for part, chosen in places.items()}}
        images = replace(self.checked.images, train=parts["train"], val=parts["val"])
        return replace(self.checked, images=images, facts=facts)
