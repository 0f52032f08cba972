"""What is kept of the class scores of a test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tlx.tasks.recorded import Recorded

PROBABILITIES_AT_MOST = 1_000_000  # numbers; beyond, only those of the predicted and the true class are kept


@dataclass(frozen=True)
class TestOutputs:
    """What was seen of a test split, in the order of its images. N images, M of them embedded, K classes.

    Args:
        index: Places of the images in the split (N,), ascending.
        target: True classes (N,).
        predicted: Most probable classes (N,).
        confidence: Their probabilities (N,), float32.
        true_probability: Probabilities of the true classes (N,), float32.
        probabilities: All (N, K), float32; (N, 0) where they are more than PROBABILITIES_AT_MOST.
        embedded: Places in the split (M,), ascending, of the images whose features were kept.
        features: Pooled features (M, num_features), float32.
        thumbnails: Those images as the network saw them, small: uint8 (M, C, h, w).
        wrong: Places in the split of the most confidently wrong images, the most confident first.
        wrong_images: Those as the network saw them, each uint8 (C, H, W).
    """

    __test__ = False  # not for pytest

    index: Tensor
    target: Tensor
    predicted: Tensor
    confidence: Tensor
    true_probability: Tensor
    probabilities: Tensor
    embedded: Tensor
    features: Tensor
    thumbnails: Tensor
    wrong: list[int]
    wrong_images: list[Tensor]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, seen: Recorded) -> TestOutputs:
        """Return what was recorded by `rows_of`."""
        return cls(
            index=seen.index,
            **seen.rows,
            embedded=seen.embedded,
            features=seen.features,
            thumbnails=seen.thumbnails,
            wrong=seen.worst,
            wrong_images=seen.worst_images,
        )


def rows_of(scores: Tensor, target: Tensor, images: int) -> dict[str, Tensor]:
    """Return what is kept of a batch, on the CPU.

    Args:
        scores: Class scores (B, K), of any type.
        target: True classes (B,).
        images: Number of images of the whole split.
    """
    probabilities, target = scores.float().softmax(dim=1).cpu(), target.cpu()
    confidence, predicted = probabilities.max(dim=1)
    fits = images * probabilities.shape[1] <= PROBABILITIES_AT_MOST
    return {
        "target": target,
        "predicted": predicted,
        "confidence": confidence,
        "true_probability": probabilities.gather(1, target[:, None])[:, 0],
        "probabilities": probabilities if fits else probabilities.new_empty(len(probabilities), 0),
    }


def badness(rows: Mapping[str, Tensor]) -> Tensor:
    """Return how wrong each image of a batch is (B,): the probability of a wrong class, NaN where it is right."""
    right = rows["predicted"] == rows["target"]
    return rows["confidence"].masked_fill(right, torch.nan)
