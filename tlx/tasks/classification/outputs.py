"""The recorded outputs of a classifier on a test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tlx.tasks.recorded import Recorded

PROBABILITIES_AT_MOST = 1_000_000  # numbers; beyond, only those of the predicted and the true class are kept


@dataclass(frozen=True)
class TestOutputs:
    """The recorded outputs of a test split, in the order of its images: N images, M of them embedded, K classes.

    Args:
        index: Indices of the images in the split (N,), ascending.
        target: True classes (N,).
        predicted: Most probable classes (N,).
        confidence: Their probabilities (N,), float32.
        true_probability: Probabilities of the true classes (N,), float32.
        probabilities: All probabilities (N, K), float32; (N, 0) if there are more than PROBABILITIES_AT_MOST.
        embedded: Indices in the split (M,), ascending, of the images whose features were kept.
        features: Pooled features (M, num_features), float32.
        thumbnails: Thumbnails of the embedded images, as the network saw them: uint8 (M, C, h, w).
        wrong: Indices in the split of the most confidently wrong images, most confident first.
        wrong_images: These images as the network saw them, each uint8 (C, H, W).
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
        """Return the outputs that were recorded by `rows_of`."""
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
    """Return the rows to record of a batch, on the CPU.

    Args:
        scores: Class scores (B, K), of any type.
        target: True classes (B,).
        images: Number of images in the whole split.
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
    """Return how wrong each prediction is (B,): the probability of the predicted class, NaN where it is right."""
    right = rows["predicted"] == rows["target"]
    return rows["confidence"].masked_fill(right, torch.nan)
