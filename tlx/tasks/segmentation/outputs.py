"""The recorded outputs of a segmentation on a test split: counts of each image, no logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tlx.tasks.recorded import Recorded
from tlx.tasks.segmentation import scores
from tlx.tasks.segmentation.scores import ClassPixels


@dataclass(frozen=True)
class TestOutputs:
    """The recorded outputs of a test split with K classes, in the order of its N images.

    Args:
        index: Indices of the images in the split (N,), ascending.
        confusion: Pixels of each image by true and predicted class (N, K, K), int64.
        boundary: Intersections and unions near contours of each image (N, 2, K), int64.
        worst: Indices in the split of the images with the lowest mean IoU, lowest first.
        worst_images: These images, reduced, each uint8 (C + 2, h, w): C channels, then truth, then prediction.
    """

    __test__ = False  # not for pytest

    index: Tensor
    confusion: Tensor
    boundary: Tensor
    worst: list[int]
    worst_images: list[Tensor]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, seen: Recorded) -> TestOutputs:
        """Return the outputs that were recorded by `rows_of`."""
        return cls(index=seen.index, **seen.rows, worst=seen.worst, worst_images=seen.worst_images)


def rows_of(confusion: Tensor, boundary: Tensor) -> dict[str, Tensor]:
    """Return the rows to record of images, on the CPU.

    Args:
        confusion: Pixels of each image by true and predicted class (B, K, K).
        boundary: Intersections and unions near contours of each image (B, 2, K).
    """
    return {"confusion": confusion.cpu(), "boundary": boundary.cpu()}


def image_ious(confusion: Tensor) -> Tensor:
    """Return the mean IoU of each image (N,) over the classes it shows or is predicted to show.

    Args:
        confusion: Pixels of each image by true and predicted class (N, K, K).
    """
    return scores.class_mean(scores.iou(ClassPixels.of(confusion)))


def badness(rows: Mapping[str, Tensor]) -> Tensor:
    """Return how wrong the prediction for each image is (B,): 1 - mean IoU, NaN where every pixel is right."""
    wrong = 1 - image_ious(rows["confusion"])
    return wrong.masked_fill(wrong == 0, torch.nan)
