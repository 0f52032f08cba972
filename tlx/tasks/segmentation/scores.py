"""Scores of a segmentation, computed from numbers of pixels of each class. Pure functions.

Each works on one set of counts or on many at once: `…` stands for any leading dimensions, such as resamples. A score is
NaN where there is nothing to divide by; a class that is absent from truth and prediction thus counts in no mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassPixels:
    """Numbers of pixels of each class, each (…, K), float64.

    Args:
        right: Pixels of the class that are predicted as it.
        actual: Pixels of the class.
        called: Pixels predicted as the class.
    """

    right: Tensor
    actual: Tensor
    called: Tensor

    @classmethod
    def of(cls, confusion: Tensor) -> ClassPixels:
        """Return the numbers of a confusion matrix (…, K, K), rows true."""
        counts = confusion.double()
        return cls(counts.diagonal(dim1=-2, dim2=-1), counts.sum(dim=-1), counts.sum(dim=-2))


def iou(pixels: ClassPixels) -> Tensor:
    """Return intersection over union of each class (…, K), the Jaccard index."""
    return pixels.right / (pixels.actual + pixels.called - pixels.right)


def dice(pixels: ClassPixels) -> Tensor:
    """Return the Dice coefficient of each class (…, K), which is the F1 of its pixels."""
    return 2 * pixels.right / (pixels.actual + pixels.called)


def precision(pixels: ClassPixels) -> Tensor:
    """Return the fraction of the pixels predicted as each class that belong to it (…, K)."""
    return pixels.right / pixels.called


def recall(pixels: ClassPixels) -> Tensor:
    """Return the fraction of the pixels of each class that are predicted as it (…, K)."""
    return pixels.right / pixels.actual


def accuracy(pixels: ClassPixels) -> Tensor:
    """Return the fraction of the pixels whose class is predicted (…,)."""
    return pixels.right.sum(dim=-1) / pixels.actual.sum(dim=-1)


def class_mean(scores: Tensor, without: int | None = None) -> Tensor:
    """Return the mean over the classes whose score is defined (…,).

    Args:
        scores: A score for each class (…, K).
        without: The class that is left out, such as the background; None: no class.
    """
    if without is not None:
        scores = torch.cat([scores[..., :without], scores[..., without + 1 :]], dim=-1)
    return scores.nanmean(dim=-1)
