"""All metrics of a test split, computed once for metrics.json, the tables and the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tlx.measures.intervals import CLASSES_AT_MOST, Intervals, bootstrap_counts, groups_of, named
from tlx.tasks.detection.average_precision import RankedClass, precision_and_recall, ranked_classes
from tlx.tasks.detection.matching import Matches, match
from tlx.tasks.detection.outputs import TestOutputs
from tlx.tasks.detection.verdicts import Verdicts, image_f1, judged

_EACH = " of each"  # after the name of a figure of classes, see `bootstrap_counts`
_LOGGED = ("map", "map_50", "map_75", "recall")  # by the task, as COCO's tool computes them


@dataclass(frozen=True)
class Summary:
    """The metrics of a test split with N images and K classes.

    Args:
        names: Class names.
        thresholds: The score of each class from which a detection is shown (K,).
        matches: The matched detections and objects.
        verdicts: Those of detections from the thresholds, at an IoU of 0.5.
        ranked: The detections of each class by falling score.
        image_f1: F1 of each image (N,); NaN for one without objects and detections.
        objects: Number of objects of each class (K,).
        overall: Figure -> value: means over the classes that have objects.
        per_class: Figure -> values (K,), NaN where undefined: `ap`, `ap_50`, `precision_50`, `recall_50`, `f1_50`.
        intervals: Confidence intervals of the metrics.
        grouped: Whether the intervals come from resampling groups of images instead of images.
    """

    names: Sequence[str]
    thresholds: np.ndarray
    matches: Matches
    verdicts: Verdicts
    ranked: list[RankedClass]
    image_f1: np.ndarray
    objects: np.ndarray
    overall: dict[str, float]
    per_class: dict[str, np.ndarray]
    intervals: Intervals
    grouped: bool

    def __len__(self) -> int:
        return self.matches.images

    def figures(self) -> dict[str, float]:
        """Return the entries of metrics.json by flat names, without undefined values and without those of the task."""
        return {name: value for name, value in self._figures() if math.isfinite(value)}

    def _figures(self) -> Iterator[tuple[str, float]]:
        yield from ((f"test/{name}", value) for name, value in self.overall.items() if name not in _LOGGED)
        yield from named(self.intervals, self.names, self.per_class)


def summarise(
    outputs: TestOutputs, names: Sequence[str], thresholds: np.ndarray, groups: Sequence[str | None] | None = None
) -> Summary:
    """Return the metrics of a test split.

    Args:
        outputs: The recorded outputs.
        names: Class names.
        thresholds: The score of each class from which a detection is shown (K,), float32.
        groups: The group of each image, such as its patient, in the order of the split; None for an image without a
            group, or if there are no groups at all.
    """
    seen, classes = groups_of(outputs.index.tolist(), groups), len(names)
    matches = match(outputs.found, outputs.truth)
    verdicts, ranked = judged(matches, thresholds), ranked_classes(matches, classes)
    counts = [
        _by_class(matches.images, classes, of.image[which], of.label[which])
        for of, which in (
            (matches.detected, verdicts.right),
            (matches.detected, verdicts.wrong),
            (matches.objects, ...),
        )
    ]
    few = classes <= CLASSES_AT_MOST
    right, wrong, objects = counts
    proportions = {f"recall_50{_EACH}": objects > 0, f"precision_50{_EACH}": right + wrong > 0}

    def resampled(drawn: np.ndarray) -> dict[str, np.ndarray]:
        found = _figures(ranked, np.concatenate(counts, axis=1), drawn)
        return {name: values for name, values in found.items() if few or values.ndim == 1}

    whole = _figures(ranked, np.concatenate(counts, axis=1), np.ones((1, matches.images), dtype=np.int64))
    overall = {name: float(value[0]) for name, value in whole.items() if value.ndim == 1}
    width = max([3 * classes, *(len(one.score) for one in ranked)])
    return Summary(
        names=names,
        thresholds=thresholds,
        matches=matches,
        verdicts=verdicts,
        ranked=ranked,
        image_f1=image_f1(matches, verdicts),
        objects=objects.sum(axis=0),
        overall=overall,
        per_class={name.removesuffix(_EACH): each[0] for name, each in whole.items() if name.endswith(_EACH)},
        intervals=bootstrap_counts(matches.images, resampled, seen, width, proportions, overall),
        grouped=seen is not None,
    )


def _by_class(images: int, classes: int, image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return how many boxes of each class each image has (N, K)."""
    return np.bincount(image * classes + label, minlength=images * classes).reshape(images, classes)


def _figures(ranked: Sequence[RankedClass], counts: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Return figures (B,) and those of classes (B, K) in resamples (B, N).

    Args:
        ranked: The classes.
        counts: Right and wrong detections and objects of each class in each image (N, 3 K).
        drawn: Count of each image in each resample (B, N).
    """
    curves = [precision_and_recall(one, drawn) for one in ranked]
    precision, recall = (np.stack(each, axis=1) for each in zip(*curves, strict=True))  # (B, K, T)
    right, wrong, objects = (drawn @ counts).reshape(len(drawn), 3, -1).swapaxes(0, 1)  # each (B, K)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = {
            "ap": precision.mean(axis=2),
            "ap_50": precision[..., 0],
            "precision_50": right / (right + wrong),
            "recall_50": right / objects,
            "f1_50": 2 * right / (right + wrong + objects),
        }
    each = {name: np.where(objects > 0, values, np.nan) for name, values in each.items()}
    means = {"map": each["ap"], "map_50": each["ap_50"], "map_75": precision[..., 5], "recall": recall.mean(axis=2)}
    means |= {name: each[name] for name in ("precision_50", "recall_50", "f1_50")}
    return {name: _mean(values) for name, values in means.items()} | {
        f"{name}{_EACH}": values for name, values in each.items()
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the classes with a value (B,)."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
    return mean
