"""Metrics of a split of labelled images, computed from a few counts per class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

IGNORED = -1  # the class of padding images in the last batch of a process


class ClassCounts(Metric):
    """Loss, accuracy, balanced accuracy (mean recall over classes) and macro F1 of a split.

    With class weights, the loss is the weighted mean; the weights do not affect the other metrics.

    A batch costs a dozen small operations on its own device, without synchronisation; metrics are computed only at the
    end. As in torchmetrics' macro averages, classes that are neither present nor predicted do not count.

    Args:
        classes: Number of classes K.
    """

    full_state_update = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name in ("right", "predicted", "actual"):  # images of each class (K,)
            self.add_state(name, torch.zeros(classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")  # sum over all images
        self.add_state("weight", torch.zeros(()), dist_reduce_fx="sum")  # sum over all images, with class weights
        self.right: Tensor
        self.predicted: Tensor
        self.actual: Tensor
        self.loss: Tensor
        self.weight: Tensor

    def update(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            logits: (B, K), float32.
            target: Classes (B,); an image of class IGNORED does not count.
            weight: Weight of each class in the loss (K,), float32; None: all 1.
        """
        real = (target != IGNORED).long()
        classes, called = target.clamp(min=0), logits.argmax(dim=1)
        self.actual.index_add_(0, classes, real)
        self.predicted.index_add_(0, called, real)
        self.right.index_add_(0, classes, real * (called == target))
        self.loss += F.cross_entropy(logits, target, weight, ignore_index=IGNORED, reduction="sum")
        if weight is not None:
            self.weight += (weight[classes] * real).sum()

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics, each a scalar."""
        images = self.actual.sum()
        seen = (self.actual + self.predicted) > 0
        recall = self.right / self.actual.clamp(min=1)
        f1 = 2 * self.right / (self.actual + self.predicted).clamp(min=1)
        return {
            "loss": self.loss / torch.where(self.weight > 0, self.weight, images),
            "accuracy": self.right.sum() / images,
            "balanced_accuracy": recall.sum() / seen.sum(),
            "f1": f1.sum() / seen.sum(),
        }
