"""Figures of a cross-validation: their mean over folds with an interval, and folds that differ from the others.

The networks of the folds share most of their training images, so their figures vary less than those of networks of
independent samples. Nadeau and Bengio (Inference for the generalization error, Machine Learning 52, 2003, section 3)
correct the variance of the mean over J trainings, each with n1 training and n2 held-out images:

    (1 / J + n2 / n1) * S²

where S² is the sample variance of the figures. With k folds, n2 / n1 is 1 / (k - 1). The interval is that of Student's
t with J - 1 degrees of freedom. Formula and distribution are those of their corrected resampled t-test; for folds, as
for repeated folds (Bouckaert and Frank, Evaluating the replicability of significance tests, PAKDD 2004), they are an
approximation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tlx.measures.percentiles import LEVEL

DIFFERS = 0.01  # chance that a remark is made on equal folds


def corrected_interval(values: Sequence[float], folds: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a figure over folds; NaN for fewer than two values.

    Args:
        values: The figure of each fold of each repeat.
        folds: Number of folds of a repeat.

    Examples:
        >>> low, high = corrected_interval([0.8, 0.85, 0.9, 0.75, 0.8], folds=5)
        >>> round(low, 3), round(high, 3)
        (0.713, 0.927)
    """
    count = len(values)
    if count < 2 or not all(map(math.isfinite, values)):
        return math.nan, math.nan
    from scipy.special import stdtrit  # few commands need it

    mean = statistics.fmean(values)
    deviation = math.sqrt((1 / count + 1 / (folds - 1)) * statistics.variance(values))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * deviation
    return mean - half, mean + half


def differing_folds(right: Sequence[int], images: Sequence[int]) -> list[tuple[int, float, float]]:
    """Return the folds whose accuracy differs from that of all others by more than chance explains, worst first.

    Each fold is compared with the others by the z-test of two proportions, at DIFFERS divided by the number of folds.

    Args:
        right: Number of images of each fold that were predicted right.
        images: Number of images of each fold.

    Returns:
        The fold, from 1, its accuracy, and that of the others.
    """
    bound = statistics.NormalDist().inv_cdf(1 - DIFFERS / max(len(images), 1) / 2)
    found = []
    for fold, (hits, count) in enumerate(zip(right, images, strict=True), 1):
        others, rest = sum(right) - hits, sum(images) - count
        pooled = sum(right) / max(sum(images), 1)
        error = math.sqrt(pooled * (1 - pooled) * (1 / count + 1 / rest)) if count and rest else 0.0
        if error and abs(hits / count - others / rest) > bound * error:
            found.append((fold, hits / count, others / rest))
    return sorted(found, key=lambda one: one[1])


def fold_remarks(right: Sequence[int], images: Sequence[int], csv: str) -> list[str]:
    """Return a remark for each fold that differs from the others; arguments as for `differing_folds`.

    Args:
        right: Number of images of each fold that were predicted right.
        images: Number of images of each fold.
        csv: The table of held-out predictions.
    """
    return [
        f"fold {fold}: accuracy {own:.3f}, in the others {others:.3f}, more than chance explains: its images differ "
        f"(those of one source, or wrong labels?); they are listed in {csv}"
        for fold, own, others in differing_folds(right, images)
    ]
