"""Count pixels by true and predicted class."""

from __future__ import annotations

import torch
from torch import Tensor

PIXELS_AT_ONCE = 2**22  # so many indices of 8 bytes are in memory


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return pixel counts (K, K), int64: row = true class, column = predicted class.

    Args:
        predicted: Predicted classes (H, W) or (B, H, W), integers from 0 to K - 1.
        truth: True classes of the same shape; pixels outside 0 to K - 1, such as `IGNORED`, are not counted.
        classes: Number of classes K.
    """
    return confusion_by_image(predicted.reshape(1, -1), truth.reshape(1, -1), classes)[0]


def confusion_by_image(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Return the pixel counts of each image (B, K, K), int64, as `confusion` does.

    Args:
        predicted: Predicted classes (B, …), integers from 0 to K - 1.
        truth: True classes of the same shape; pixels outside 0 to K - 1 are not counted.
        classes: Number of classes K.
    """
    images, cells = len(truth), classes * classes
    predicted, truth = predicted.flatten(1), truth.flatten(1)
    counts = torch.zeros(images * cells, dtype=torch.long, device=truth.device)
    first_cell = torch.arange(images, device=truth.device)[:, None] * cells
    step = max(1, PIXELS_AT_ONCE // max(images, 1))
    for start in range(0, truth.shape[1], step):
        true, called = (each[:, start : start + step].long() for each in (truth, predicted))
        counted = (true >= 0) & (true < classes)
        places = true.mul(classes).add_(called).add_(first_cell)
        counts += torch.bincount(places[counted], minlength=len(counts))
    return counts.view(images, classes, classes)
