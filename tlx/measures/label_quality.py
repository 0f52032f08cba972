"""Which labels are likely wrong, from out-of-fold probabilities: confident learning.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal of Artificial
Intelligence Research 70, 2021. The functions return what the library cleanlab returns (2.9; its score
`normalized_margin` and its filter `confident_learning`); tests compare them where it is installed.
"""

from __future__ import annotations

import numpy as np

from tlx.measures.ridge import Integers, Numbers

_EQUAL = 1e-6  # probabilities that differ by less reach the threshold


def normalised_margins(labels: Integers, probabilities: Numbers) -> Numbers:
    """Return a score of each label, (p of the label - largest p of another class + 1) / 2: (N,), 0 is the worst.

    Args:
        labels: (N,).
        probabilities: Of the classes for each image, from models that have not seen it (N, K), K at least 2.
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    margins: Numbers = (probabilities[rows, labels] - others.max(axis=1) + 1) / 2
    return margins


def contradicted(labels: Integers, probabilities: Numbers) -> np.ndarray:
    """Return which labels confident learning finds to be wrong, (N,) boolean.

    An image confidently shows a class if its probability is at least the mean probability of that class among the
    images with this label. Its label is wrong if it confidently shows another class; of several, the most probable
    class decides. A label that no class exceeds is never wrong.

    Args:
        labels: (N,).
        probabilities: (N, K), as for `normalised_margins`.
    """
    classes, rows = probabilities.shape[1], np.arange(len(labels))
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, probabilities[rows, labels], minlength=classes)
    thresholds = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    confident = probabilities >= np.maximum(thresholds, 2 * _EQUAL) - _EQUAL
    several = confident.sum(axis=1) > 1
    shown = np.where(several, probabilities.argmax(axis=1), confident.argmax(axis=1))
    exceeded = probabilities[rows, labels] < probabilities.max(axis=1)
    found: np.ndarray = confident.any(axis=1) & (shown != labels) & exceeded
    return found
