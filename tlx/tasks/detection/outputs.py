"""The recorded outputs of a detection on a test split: detections and objects of each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tlx.tasks.detection.matching import IOUS, match
from tlx.tasks.detection.verdicts import image_f1, judged
from tlx.tasks.recorded import Recorded


@dataclass(frozen=True)
class TestOutputs:
    """The recorded outputs of a test split, in the order of its N images.

    Args:
        index: Indices of the images in the split (N,), ascending.
        found: Detections (N, D, 6).
        truth: Objects (N, G, 6).
        size: Height and width of each image in pixels (N, 2).
        worst: Indices in the split of the images with the lowest F1, lowest first.
        worst_images: These images, reduced, each uint8 (C, h, w).
    """

    __test__ = False  # not for pytest

    index: Tensor
    found: Tensor
    truth: Tensor
    size: Tensor
    worst: list[int]
    worst_images: list[Tensor]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, seen: Recorded) -> TestOutputs:
        """Return the outputs that were recorded by `rows_of`."""
        return cls(index=seen.index, **seen.rows, worst=seen.worst, worst_images=seen.worst_images)


def rows_of(found: Tensor, truth: Tensor, size: Tensor) -> dict[str, Tensor]:
    """Return the rows to record of images, on the CPU.

    Args:
        found: Detections (B, D, 6), D the same for all batches.
        truth: Objects (B, N, 6).
        size: Height and width of each image in pixels (B, 2).
    """
    return {"found": found.float().cpu(), "truth": truth.float().cpu(), "size": size.cpu()}


def badness(rows: Mapping[str, Tensor], thresholds: Tensor) -> Tensor:
    """Return how wrong the detections of each image are (B,): 1 - F1 at an IoU of 0.5, NaN where all are right.

    Args:
        rows: What `rows_of` returned.
        thresholds: The score of each class (K,) from which a detection counts.
    """
    matches = match(rows["found"], rows["truth"], IOUS[:1])
    wrong = 1 - torch.from_numpy(image_f1(matches, judged(matches, thresholds.float().cpu().numpy())))
    return wrong.masked_fill(wrong == 0, torch.nan)
