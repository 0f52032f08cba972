"""Scores of predictions on unlabelled images, by which an adaptation can select weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from tlx.adaptation.base import entropy


class TargetEntropy(Metric):
    """Entropy and information of class probabilities, in nats.

    `entropy`: the mean entropy of a prediction; low if the network is confident. `infomax`: the entropy of the mean
    prediction minus `entropy`, the mutual information of image and class (Bridle et al. 1991); high if predictions are
    confident and all classes occur, so that a network that predicts only one class scores low.

    Args:
        classes: Number of classes K.
    """

    full_state_update = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(classes), dist_reduce_fx="sum")  # sums of the probabilities of each class
        self.add_state("entropy", torch.zeros(()), dist_reduce_fx="sum")  # sum over all images
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")
        self.total: Tensor
        self.entropy: Tensor
        self.images: Tensor

    def update(self, logits: Tensor, real: Tensor) -> None:
        """Add a batch: logits (B, K), float32; which rows are not padding (B,), bool."""
        counts = real.float()
        p = logits.softmax(1)
        self.total += (p * counts.unsqueeze(1)).sum(0)
        self.entropy += (entropy(p) * counts).sum()
        self.images += counts.sum()

    def compute(self) -> dict[str, Tensor]:
        """Return both scores, each a scalar."""
        mean = self.entropy / self.images
        return {"entropy": mean, "infomax": entropy(self.total / self.images) - mean}
