"""All metrics of a test split, computed once for metrics.json, the tables and the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tlx.measures.intervals import CLASSES_AT_MOST, Intervals, bootstrap_sums, groups_of, named
from tlx.tasks.segmentation import scores
from tlx.tasks.segmentation.background import background_of
from tlx.tasks.segmentation.outputs import TestOutputs, image_ious
from tlx.tasks.segmentation.scores import ClassPixels

_CLASS_MEANS = ("miou", "miou_foreground", "dice", "boundary_iou")
_EACH = " of each"  # after the name of a figure of classes, see `bootstrap_sums`


@dataclass(frozen=True)
class Summary:
    """The metrics of a test split with N images and K classes.

    Args:
        names: Class names.
        background: Index of the background; None: there is none.
        confusion: Pixels by true and predicted class (K, K), int64.
        pixels: Pixels of each class in each image, each (N, K).
        image_ious: Mean IoU of each image over its classes (N,); NaN if no pixel counts.
        per_class: Figure -> values (K,), NaN where undefined: `iou`, `dice`, `precision`, `recall`, `boundary_iou`.
        intervals: Confidence intervals of the metrics.
        grouped: Whether the intervals come from resampling groups of images instead of images.
    """

    names: Sequence[str]
    background: int | None
    confusion: Tensor
    pixels: ClassPixels
    image_ious: Tensor
    per_class: dict[str, np.ndarray]
    intervals: Intervals
    grouped: bool

    def __len__(self) -> int:
        return len(self.image_ious)

    def shares(self) -> tuple[Tensor, Tensor]:
        """Return the true and the predicted share of each class in the pixels of each image, each (N, K)."""
        total = self.pixels.actual.sum(dim=1, keepdim=True)  # predicted pixels are as many
        return self.pixels.actual / total, self.pixels.called / total

    def figures(self) -> dict[str, float]:
        """Return the entries of metrics.json by flat names, without undefined values."""
        return {name: value for name, value in self._figures() if math.isfinite(value)}

    def _figures(self) -> Iterator[tuple[str, float]]:
        yield from named(self.intervals, self.names, self.per_class)


def summarise(outputs: TestOutputs, names: Sequence[str], groups: Sequence[str | None] | None = None) -> Summary:
    """Return the metrics of a test split.

    Args:
        outputs: The recorded outputs.
        names: Class names.
        groups: The group of each image, such as its patient, in the order of the split; None for an image without a
            group, or if there are no groups at all.
    """
    seen = groups_of(outputs.index.tolist(), groups)
    background, pixels = background_of(names), ClassPixels.of(outputs.confusion)
    counts = torch.cat([pixels.right, pixels.actual, pixels.called, outputs.boundary.double().flatten(1)], dim=1)
    total = _figures(counts.sum(dim=0, keepdim=True), background)
    few = len(names) <= CLASSES_AT_MOST

    def resampled(sums: np.ndarray) -> dict[str, np.ndarray]:
        found = _figures(torch.from_numpy(sums), background)
        return {name: values.numpy() for name, values in found.items() if few or values.ndim == 1}

    return Summary(
        names=names,
        background=background,
        confusion=outputs.confusion.sum(dim=0),
        pixels=pixels,
        image_ious=image_ious(outputs.confusion),
        per_class={name.removesuffix(_EACH): each[0].numpy() for name, each in total.items() if name.endswith(_EACH)},
        intervals=bootstrap_sums(counts.numpy(), resampled, seen, [name for name in _CLASS_MEANS if name in total]),
        grouped=seen is not None,
    )


def _figures(sums: Tensor, background: int | None) -> dict[str, Tensor]:
    """Return figures (B,) and those of classes (B, K) of sums (B, 5 K): right, actual, called, both, either."""
    right, actual, called, both, either = sums.view(len(sums), 5, -1).unbind(dim=1)
    pixels = ClassPixels(right, actual, called)
    each = {
        "iou": scores.iou(pixels),
        "dice": scores.dice(pixels),
        "precision": scores.precision(pixels),
        "recall": scores.recall(pixels),
        "boundary_iou": both / either,
    }
    found = {"miou": scores.class_mean(each["iou"]), "accuracy": scores.accuracy(pixels)}
    if background is not None:
        found["miou_foreground"] = scores.class_mean(each["iou"], without=background)
    found |= {name: scores.class_mean(each[name]) for name in ("dice", "boundary_iou")}
    return found | {f"{name}{_EACH}": values for name, values in each.items()}
