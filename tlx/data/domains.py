"""The target domain of an adaptation. Its labels are used only in the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tlx.base.compat.torch import map_tensors
from tlx.base.errors import TlxError
from tlx.data.batches.sampler import PADDING
from tlx.data.checked import CheckedSet, load_checked
from tlx.data.labels import LabelKind
from tlx.data.splits.division import content_keys, divide, split_keys
from tlx.data.splits.samples import Split
from tlx.data.splits.similar import grouping_near_duplicates

TRAIN, VAL = "target_train", "target_val"  # its splits, in addition to those of the source


@dataclass(frozen=True)
class HiddenLabels:
    """The labels of `target_val`, only for metrics that are marked as using them.

    Args:
        kind: The kind of the labels.
        labels: Labels of all N images, as `kind` collates them.
        known: Whether an image has a label (N,), bool.
    """

    kind: LabelKind
    labels: Any
    known: Tensor

    def to(self, device: torch.device) -> HiddenLabels:
        """Return the labels on a device."""
        moved = map_tensors(lambda value: value.to(device), self.labels)
        return HiddenLabels(self.kind, moved, self.known.to(device))

    def take(self, index: Tensor) -> tuple[Any, Tensor]:
        """Return the labels of the images at `index` (B,), and which of them are known (B,), bool; padding is not."""
        return self.kind.take(self.labels, index), self.known[index.clamp(min=0)] & (index != PADDING)


@dataclass(frozen=True)
class TargetDomain:
    """A set with the classes of the source domain.

    Its training and validation images have no labels, and neither their order nor their split depends on labels. Splits
    that were carved class by class are merged and carved again by content alone.

    Args:
        checked: The loaded set.
        class_names: Classes of the source domain; labels of the test split are indices into them.
    """

    checked: CheckedSet
    class_names: Sequence[str]

    @classmethod
    def load(cls, node: Mapping[str, Any], class_names: Sequence[str]) -> TargetDomain:
        """Load the set of a composed `target` node.

        Raises:
            TlxError: The set has classes that the source domain lacks, or it cannot be loaded.
        """
        checked = load_checked(node)
        unknown = [name for name in checked.images.class_names if name not in class_names]
        if unknown:
            shared = [name for name in checked.images.class_names if name in class_names]
            raise TlxError(
                f"target: expected only classes of the source: {', '.join(class_names)}, got also "
                f"{', '.join(unknown)}; select the shared ones: target.classes=[{','.join(shared)}]"
            )
        return cls(checked, class_names)

    @cached_property
    def splits(self) -> dict[str, Split]:
        """`target_train` and `target_val` without labels, and `test` if the set has labels."""
        tested = {"test": self._labelled["test"]} if self.checked.images.class_names else {}
        return {**{name: _unlabelled(self._labelled[name], self._labels) for name in (TRAIN, VAL)}, **tested}

    @property
    def hidden_labels(self) -> HiddenLabels | None:
        """Labels of `target_val`; None if none is known, or if they move with their images."""
        kind, labels = self._labels, [sample.target for sample in self._labelled[VAL].samples]
        known = torch.tensor([kind.is_known(label) for label in labels], dtype=torch.bool)
        return None if kind.moves or not known.any() else HiddenLabels(kind, kind.collate(labels), known)

    @property
    def _labels(self) -> LabelKind:
        return self.checked.images.labels

    @cached_property
    def _labelled(self) -> dict[str, Split]:
        images = self.checked.images
        own = {TRAIN: images.train, VAL: images.val, "test": images.test}
        home = {"val": VAL, "test": "test"}
        carved = [home[part] for part in ("test", "val") if part in images.carved]
        if carved:
            pooled = _merged([own[TRAIN], *(own[part] for part in carved)])
            fractions = {part: len(own[part]) / max(len(pooled), 1) for part in carved}
            seed = int(self.checked.node.get("split_seed", 0))
            with grouping_near_duplicates(self.checked.node.get("similar") == "together"):
                keys = split_keys(pooled)
            parts = divide(keys, [()] * len(pooled), fractions, seed, pooled.groups)
            own |= {TRAIN: pooled.take(parts["train"]), **{part: pooled.take(parts[part]) for part in carved}}
        places = {i: self.class_names.index(name) for i, name in enumerate(images.class_names)}
        return {name: _sorted_by_content(split, self._labels, places) for name, split in own.items()}


def _merged(splits: Sequence[Split]) -> Split:
    """Merge splits of one set, which share their pixels."""
    return Split([sample for split in splits for sample in split.samples], splits[0].pixels)


def _sorted_by_content(split: Split, labels: LabelKind, places: Mapping[int, int]) -> Split:
    """Sort samples by content, because the order of their files may reveal the classes."""
    keyed = sorted(zip(content_keys(split), split.samples, strict=True), key=lambda pair: (pair[0], pair[1].name))
    named = [(sample, labels.only(sample.target, places)) for _, sample in keyed]
    known = [replace(sample, target=labels.unknown if label is None else label) for sample, label in named]
    return Split(known, split.pixels)


def _unlabelled(split: Split, labels: LabelKind) -> Split:
    return Split([replace(sample, target=labels.unknown) for sample in split.samples], split.pixels)
