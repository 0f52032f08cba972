"""The images whose labels are known and that no test needs, with the units that must not be divided."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tlx.base.errors import TlxError
from tlx.data.labelled import LabelledImages
from tlx.data.splits.groups import blocks_of
from tlx.data.splits.samples import Sample
from tlx.data.splits.similar import merged_keys
from tlx.data.splits.similar_groups import Pair
from tlx.measures.ridge import Integers

log = logging.getLogger("tlx")
_UNEVEN = 2  # times as many images as the smallest class


@dataclass(frozen=True)
class Pool:
    """Labelled images of some splits, one split after another.

    Args:
        name: Name of the set.
        splits: The splits, with the number of images of each.
        samples: The images (N,).
        labels: The class of each (N,), among `class_names`.
        class_names: The classes that they have.
        unit_of: The unit of each image (N,), from 0: copies, near duplicates and images of one group have the same.
        grouped: Whether images name groups, such as patients.
    """

    name: str
    splits: dict[str, int]
    samples: list[Sample]
    labels: Integers
    class_names: list[str]
    unit_of: Integers
    grouped: bool

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def counts(self) -> Integers:
        """Images of each class (K,)."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    @property
    def uneven(self) -> bool:
        """Whether some class has more than twice as many images as another."""
        return bool(self.counts.max() > _UNEVEN * self.counts.min())

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.unit_of.max()) + 1

    def describe(self) -> str:
        """Return what the images are, in a line."""
        least, most = self.counts.min(), self.counts.max()
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        parts = ", ".join(f"{split} {count:,}" for split, count in self.splits.items())
        return f"{self.name}: {len(self):,} images ({parts}), {len(self.class_names):,} classes of {each} images"

    def describe_units(self) -> str:
        """Return which images are left out together; '' if each is alone."""
        if self.units == len(self):
            return ""
        what = "of one group, copies and near duplicates" if self.grouped else "that are copies or near duplicates"
        return f"images {what} are left out together: {self.units:,} units"


def pool_of(data: LabelledImages, splits: Sequence[str]) -> Pool:
    """Return the images of some splits of a loaded set.

    Raises:
        TlxError: They have fewer than two classes, or are fewer than four.
    """
    samples = [sample for split in splits for sample in data.splits[split].samples]
    keys = [key for split in splits for key in data.content_keys(split)]
    known = np.array([int(sample.target) for sample in samples])
    present, labels = np.unique(known, return_inverse=True)
    if len(present) < 2 or len(samples) < 4 or present[0] < 0:
        raise TlxError(
            f"dataset {data.dataset.get('name')}: expected at least four labelled images of two classes in "
            f"{' and '.join(splits)}, got {len(samples):,} of {len(present):,}; "
            "`tlx check` with the same keys lists what each split contains"
        )
    groups = [sample.group for sample in samples]
    blocks = blocks_of(merged_keys(keys, _alike(data, samples)), [[label] for label in labels.tolist()], groups)
    unit_of = np.empty(len(samples), dtype=np.int64)
    for number, block in enumerate(blocks):
        unit_of[block.positions] = number
    names = [data.class_names[label] for label in present]
    sizes = {split: data.sizes[split] for split in splits if data.sizes[split]}
    grouped = any(group is not None for group in groups)
    return Pool(data.image_set.name, sizes, samples, labels.astype(np.int64), names, unit_of, grouped)


def _alike(data: LabelledImages, samples: Sequence[Sample]) -> list[Pair]:
    """Return the near duplicates among some samples, as positions in them."""
    whole = [sample for split in data.image_set.splits.values() for sample in split.samples]
    place = {id(sample): position for position, sample in enumerate(samples)}
    places = [place.get(id(sample)) for sample in whole]
    found = []
    for one, other, score in data.checked.near_duplicates:
        first, second = places[one], places[other]
        if first is not None and second is not None:
            found.append(Pair(min(first, second), max(first, second), score))
    return found
