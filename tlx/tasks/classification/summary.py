"""All metrics of a test split, computed once for metrics.json, the tables and the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tlx.measures.class_intervals import bootstrap_classes
from tlx.measures.confusion import ClassFigures, Reliability, class_figures, confusion_matrix, reliability
from tlx.measures.intervals import Intervals, groups_of, named
from tlx.tasks.classification.mean_auroc import one_vs_rest_auroc
from tlx.tasks.classification.outputs import TestOutputs


@dataclass(frozen=True)
class Summary:
    """The metrics of a test split with K classes.

    Args:
        names: Class names.
        images: Number of images.
        confusion: Counts (K, K), row = true class.
        per_class: Precision, recall, specificity, … of each class.
        auroc: AUROC of each class against the others (K,); NaN if it is undefined or there are no probabilities.
        calibration: Confidence against accuracy.
        intervals: Confidence intervals of the metrics.
        grouped: Whether the intervals come from resampling groups of images instead of images.
    """

    names: Sequence[str]
    images: int
    confusion: Tensor
    per_class: ClassFigures
    auroc: Tensor
    calibration: Reliability
    intervals: Intervals
    grouped: bool

    def of_each_class(self) -> dict[str, np.ndarray]:
        """Return metric -> values (K,), NaN where undefined; the names are those of the intervals."""
        found = self.per_class
        values = {"sensitivity": found.recall, "specificity": found.specificity, "ppv": found.precision}
        return {name: tensor.numpy() for name, tensor in {**values, "auroc": self.auroc}.items()}

    def figures(self) -> dict[str, float]:
        """Return the entries of metrics.json by flat names, without undefined values."""
        return {name: value for name, value in self._figures() if math.isfinite(value)}

    def _figures(self) -> Iterator[tuple[str, float]]:
        yield "test/ece", self.calibration.ece
        yield "test/auroc", float(self.auroc.nanmean())
        yield from named(self.intervals, self.names, self.of_each_class())


def summarise(outputs: TestOutputs, names: Sequence[str], groups: Sequence[str | None] | None = None) -> Summary:
    """Return the metrics of a test split.

    Args:
        outputs: The recorded outputs.
        names: Class names.
        groups: The group of each image, such as its patient, in the order of the split; None for an image without a
            group, or if there are no groups at all.
    """
    confusion = confusion_matrix(outputs.target, outputs.predicted, len(names))
    whole = outputs.probabilities.shape[1] > 0
    seen = groups_of(outputs.index.tolist(), groups)
    nothing = torch.full((len(names),), torch.nan, dtype=torch.float64)
    return Summary(
        names=names,
        images=len(outputs),
        confusion=confusion,
        per_class=class_figures(confusion),
        auroc=one_vs_rest_auroc(outputs.probabilities, outputs.target) if whole else nothing,
        calibration=reliability(outputs.confidence, outputs.predicted == outputs.target),
        intervals=bootstrap_classes(
            outputs.target.numpy(),
            outputs.predicted.numpy(),
            outputs.probabilities.numpy() if whole else None,
            len(names),
            seen,
        ),
        grouped=seen is not None,
    )
