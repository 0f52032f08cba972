"""Quality of predictions: confusion, precision and recall of each class, calibration. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15  # Guo et al. 2017


def confusion_matrix(target: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Return counts (classes, classes): row = true class, column = predicted class.

    Args:
        target: True classes (N,), from 0.
        predicted: Predicted classes (N,).
        classes: Number of classes.
    """
    return torch.bincount(target * classes + predicted, minlength=classes * classes).view(classes, classes)


@dataclass(frozen=True)
class ClassFigures:
    """Metrics of each class, each (K,), float64; NaN if the denominator is 0.

    Args:
        precision: TP / (TP + FP), in medicine called positive predictive value (PPV).
        recall: TP / (TP + FN), in medicine called sensitivity.
        f1: Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).
        support: Number of images of the class.
        specificity: TN / (TN + FP).
    """

    precision: Tensor
    recall: Tensor
    f1: Tensor
    support: Tensor
    specificity: Tensor


def class_figures(confusion: Tensor) -> ClassFigures:
    """Return precision, recall, F1 and specificity of each class from a confusion matrix (K, K), rows true."""
    counts = confusion.double()
    right, support, predicted = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    others = counts.sum() - support
    specificity = (others - (predicted - right)) / others
    return ClassFigures(right / predicted, right / support, 2 * right / (predicted + support), support, specificity)


@dataclass(frozen=True)
class Reliability:
    """Accuracy compared with confidence, by bins of confidence.

    Args:
        edges: Edges of the bins (bins + 1,); a bin includes its upper edge.
        count: Number of images in each bin (bins,).
        accuracy: Fraction of correct predictions in each bin; NaN if it is empty.
        confidence: Mean confidence in each bin; NaN if it is empty.
        ece: Expected calibration error: sum over bins of count / N * |accuracy - confidence|, in [0, 1].
    """

    edges: Tensor
    count: Tensor
    accuracy: Tensor
    confidence: Tensor
    ece: float


def reliability(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Reliability:
    """Return accuracy and confidence by bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks (2017), section 2.

    Args:
        confidence: Probability of the predicted class (N,), in [0, 1], N at least 1.
        correct: Whether the prediction is correct (N,).
        bins: Number of bins; bin m is ((m - 1) / bins, m / bins].
    """
    confidence, right = confidence.double(), correct.double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    bin_of = torch.bucketize(confidence, edges[1:-1])
    count = torch.bincount(bin_of, minlength=bins)
    accuracy = torch.bincount(bin_of, right, minlength=bins) / count
    mean = torch.bincount(bin_of, confidence, minlength=bins) / count
    error = (count / len(confidence) * (accuracy - mean).abs()).nansum()
    return Reliability(edges, count, accuracy, mean, float(error))


def most_confused(confusion: Tensor, most: int) -> list[tuple[int, int, int]]:
    """Return up to `most` triples (true class, predicted class, images), the most frequent mistakes first.

    Args:
        confusion: Confusion matrix (K, K), rows true.
        most: Largest number of triples.
    """
    wrong = confusion.clone()
    wrong.fill_diagonal_(0)
    order = wrong.flatten().argsort(descending=True, stable=True)[:most].tolist()
    classes = len(confusion)
    pairs = [(place // classes, place % classes) for place in order]
    return [(true, predicted, int(wrong[true, predicted])) for true, predicted in pairs if wrong[true, predicted] > 0]
