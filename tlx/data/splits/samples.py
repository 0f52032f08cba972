"""The result of a source: labelled images in three splits, none of them opened yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlx.base.errors import TlxError, did_you_mean
from tlx.base.printable import one_line
from tlx.data.labels import CLASSES, LabelKind
from tlx.data.region import Region
from tlx.data.splits.typed_classes import class_called

if TYPE_CHECKING:  # sets of files are listed, split and checked without importing torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    Args:
        source: The file, or the row in the split's pixels.
        target: The label. For classes: the index of the class, from 0, or -1 if unknown.
        name: Display name: the path relative to the set's root, or the row.
        group: Name of the group that must stay on one side of a split, such as the patient; None: no group.
        region: The part of the image that the sample shows: top, left, height and width in pixels; None: all of it.
    """

    source: Path | int
    target: Any
    name: str
    group: str | None = None
    region: Region | None = None


@dataclass(frozen=True)
class Split:
    """The samples of one split.

    Args:
        samples: Samples in the order of their indices.
        pixels: For a set in memory, the images of samples whose source is a row: uint8 (N, C, H, W), may be shared.
        repeats: How often the same samples follow one another.
    """

    samples: list[Sample]
    pixels: Tensor | None = None
    repeats: int = 1

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def once(self) -> Split:
        """The samples without repeats."""
        return self if self.repeats == 1 else Split(self.samples[: len(self) // self.repeats], self.pixels)

    def repeated(self, repeats: int) -> Split:
        """Return the samples several times, one after another."""
        return self if repeats == 1 else Split(self.samples * repeats, self.pixels, repeats)

    @property
    def groups(self) -> list[str | None]:
        """The group of each sample."""
        return [sample.group for sample in self.samples]

    @property
    def in_memory(self) -> bool:
        """Whether the images are in memory and not in files."""
        return self.pixels is not None

    def take(self, positions: list[int]) -> Split:
        """Return the samples at some positions, in the given order."""
        return Split([self.samples[i] for i in positions], self.pixels)


@dataclass(frozen=True)
class ImageSet:
    """A set of labelled images. A source is a function that returns one.

    Args:
        name: Name of the set.
        class_names: Class names; the classes of an image are indices into them.
        train: Training samples, before their number is reduced.
        val: Samples for selection.
        test: Samples for the reported metrics.
        rule: How the set was split, in words.
        notes: Further remarks for the user, one line each.
        carved: Which of `val` and `test` tlx carved; the others are official splits.
        labels: Kind of its samples' labels.
    """

    name: str
    class_names: list[str]
    train: Split
    val: Split
    test: Split
    rule: str
    notes: tuple[str, ...] = ()
    carved: frozenset[str] = frozenset()
    labels: LabelKind = CLASSES

    def __post_init__(self) -> None:
        """Make the name a single line, for messages and logs."""
        object.__setattr__(self, "name", one_line(self.name))

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def class_ids(self, sample: Sample) -> tuple[int, ...]:
        """Return the classes that an image shows."""
        return self.labels.class_ids(sample.target)

    def counts(self, split: Split) -> Counter[int]:
        """Return the number of images of a split that show each class."""
        return Counter(label for sample in split.samples for label in self.class_ids(sample))

    def amounts(self, split: Split) -> Counter[int]:
        """Return class -> pixels or objects of a split; empty for labels that mark neither."""
        counts: Counter[int] = Counter()
        for sample in split.samples:
            counts.update(self.labels.amounts(sample.target))
        return counts

    def only(self, classes: Sequence[int | float | str | None]) -> ImageSet:
        """Return the images of some classes, renumbered in the given order.

        Raises:
            TlxError: A class does not exist or is named twice.
        """
        chosen = [class_called(name, self.class_names) for name in classes]
        unknown = [name for name in chosen if name not in self.class_names]
        if unknown or len(set(chosen)) != len(chosen):
            hint = did_you_mean(unknown[0], self.class_names) if unknown else "name each class once"
            raise TlxError(f"dataset.classes: expected some of {', '.join(self.class_names)}, got {chosen}; {hint}")
        places = {self.class_names.index(name): label for label, name in enumerate(chosen)}
        parts = {name: _only(split, self.labels, places) for name, split in self.splits.items()}
        return replace(self, class_names=chosen, train=parts["train"], val=parts["val"], test=parts["test"])


def _only(split: Split, labels: LabelKind, places: Mapping[int, int]) -> Split:
    chosen = [(sample, labels.only(sample.target, places)) for sample in split.samples]
    return Split([replace(sample, target=label) for sample, label in chosen if label is not None], split.pixels)
