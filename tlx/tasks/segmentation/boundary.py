"""Boundary IoU: the intersection over union of the pixels near the contours of a class.

Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation (2021), section 4. Unlike IoU, it is
as sensitive to the contours of large regions as to those of small ones.

A pixel of a class is near its contour if the square of side 2 d + 1 around it holds a pixel that is not of the class or
lies outside the image. That is the same for all classes: the square holds a second label. So the work does not grow
with the number of classes. As in the authors' code, d is 2 % of the image's diagonal, and at least 1 pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.data.ignored import IGNORED

FRACTION = 0.02  # of the diagonal
PIXELS_AT_ONCE = 2**23


def boundary_counts(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return, for each class, the pixels near the contours in truth and prediction, and in either: (2, K), int64.

    Pixels that are ignored in the truth belong to no class in either mask, so they count like pixels outside the image.
    Memory: about 10 bytes for each of PIXELS_AT_ONCE pixels, whatever the size of the image.

    Args:
        predicted: Predicted classes of one whole image (H, W), integers from 0 to K - 1.
        truth: True classes (H, W); pixels outside 0 to K - 1 are ignored.
        classes: Number of classes K, at most 255.
    """
    height, width = truth.shape
    reach = distance(height, width)
    rows = max(1, PIXELS_AT_ONCE // (width + 2 * reach))
    counts = torch.zeros(2, classes, dtype=torch.long, device=truth.device)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(top - reach, 0), min(bottom + reach, height)
        missing = (reach - (top - first), reach - (last - bottom))
        true, called = _labels(predicted[first:last], truth[first:last], classes)
        inner = slice(top - first, bottom - first)
        true, called = (_near_contours(labels, inner, reach, missing) for labels in (true, called))
        counts += _counts(true, called, classes)
    return counts


def distance(height: int, width: int) -> int:
    """Return how near to a contour a pixel counts, in pixels."""
    return max(1, round(FRACTION * math.hypot(height, width)))


def _labels(predicted: Tensor, truth: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return true and predicted classes as uint8, IGNORED in both where the truth is ignored."""
    unknown = (truth < 0) | (truth >= classes)
    true, called = (each.to(torch.uint8).masked_fill(unknown, IGNORED) for each in (truth, predicted))
    return true, called


def _near_contours(labels: Tensor, inner: slice, reach: int, missing: tuple[int, int]) -> Tensor:
    """Return the labels of a band's inner rows (h, W), IGNORED where no contour is near.

    Args:
        labels: The band (H, W) with the rows that its inner rows can see.
        inner: The inner rows.
        reach: The distance in pixels.
        missing: Rows above and below the band that the inner rows would see, but that lie outside the image.
    """
    padded = F.pad(labels, (reach, reach, *missing), value=IGNORED)
    side = 2 * reach + 1
    least, most = (
        _filtered(_filtered(padded, side, 0, pick), side, 1, pick) for pick in (torch.minimum, torch.maximum)
    )
    return labels[inner].masked_fill(least == most, IGNORED)


def _filtered(x: Tensor, length: int, dim: int, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the least or greatest value of each window of `length` along a dimension, by windows of doubled length."""
    have = 1
    while have < length:
        step = min(have, length - have)
        rest = x.shape[dim] - step
        x = pick(x.narrow(dim, 0, rest), x.narrow(dim, step, rest))
        have += step
    return x


def _counts(true: Tensor, called: Tensor, classes: int) -> Tensor:
    """Return intersections and unions (2, K) of labels (h, W) near contours."""
    both = _pixels(true[true == called], classes)
    return torch.stack([both, _pixels(true, classes) + _pixels(called, classes) - both])


def _pixels(labels: Tensor, classes: int) -> Tensor:
    return torch.bincount(labels[labels != IGNORED], minlength=classes)
