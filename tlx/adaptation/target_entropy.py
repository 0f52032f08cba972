"""What can be said of predictions on images without labels: the scores by which an adaptation selects."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from tlx.adaptation.base import entropy


class TargetEntropy(Metric):
    """Entropy and information of class probabilities, in nats.

    `entropy`: the mean entropy of a prediction; low where the network is certain. `infomax`: the entropy of the mean
    prediction less that, the mutual information of image and class (Bridle et al. 1991); high where predictions are
    certain and all classes occur, so that a network which calls everything by one name does not score.

    Args:
        classes: Number of classes K.
    """

    full_state_update = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(classes), dist_reduce_fx="sum")  # of the probabilities of each class
        self.add_state("entropy", torch.zeros(()), dist_reduce_fx="sum")  # of all images together
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")
        self.total: Tensor
        self.entropy: Tensor
        self.images: Tensor

    def update(self, logits: Tensor, index: Tensor) -> None:
        """Add a batch: logits (B, K), float32; places of the images (B,), where -1 is padding."""
        real = (index >= 0).float()
        p = logits.softmax(1)
        self.total += (p * real.unsqueeze(1)).sum(0)
        self.entropy += (entropy(p) * real).sum()
        self.images += real.sum()

    def compute(self) -> dict[str, Tensor]:
        """Return both figures, each a scalar."""
        mean = self.entropy / self.images
        return {"entropy": mean, "infomax": entropy(self.total / self.images) - mean}
