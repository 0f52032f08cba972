"""Adaptation by pseudo-labels: the network's own predictions on the target, more of them as training proceeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy

from tlx.adaptation.base import Adaptation, Domain, Network, widened
from tlx.base.ranks import rank_and_world
from tlx.data.batches.dataset import real
from tlx.data.domains import TRAIN

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule

NONE = -1  # no label


class SelfTraining(Adaptation):
    """Class-balanced self-training (Zou et al. 2018): each epoch, the most confident images of each class are labelled.

    Before every epoch the network predicts all images of the target domain, in eval mode and without augmentation. For
    each class, the most confident portion of the images predicted as this class keeps this label and counts in the
    epoch's loss. The portion grows from `portion_start` to `portion_end`; this acts as a falling probability threshold
    per class.

    Args:
        weight: Factor of the pseudo-labels' cross-entropy.
        start: Fraction of the training before which there are no pseudo-labels.
        batch_norm: See `Adaptation`.
        portion_start: Portion of the images of a class that is labelled first.
        portion_end: Portion that is labelled at the end.
    """

    def __init__(
        self,
        weight: float = 1.0,
        start: float = 0.4,
        batch_norm: str = "separate",
        portion_start: float = 0.3,
        portion_end: float = 0.9,
    ) -> None:
        super().__init__(weight, start, batch_norm)
        self.portion_start, self.portion_end = portion_start, portion_end
        self.labels: Tensor

    def build(self, task: Network, data: ImageDataModule) -> None:
        """Make the buffer of labels, one per image; the checkpoint stores it for runs that stop within an epoch."""
        self.register_buffer("labels", torch.full((data.sizes[TRAIN],), NONE))

    def begin_epoch(self, task: Network, data: ImageDataModule, progress: float) -> None:
        """Label the most confident images for this epoch."""
        portion = self.portion_start + (self.portion_end - self.portion_start) * progress
        confidence, predicted = predict_target(task, data)
        self.labels.copy_(most_certain(confidence, predicted, portion))

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the mean cross-entropy of the images with a pseudo-label, a scalar; 0 if no image has one."""
        labels = self.labels[target.index]
        each = cross_entropy(widened(target.logits), labels, ignore_index=NONE, reduction="sum")
        return each / (labels != NONE).sum().clamp(min=1)


@torch.no_grad()
def predict_target(task: Network, data: ImageDataModule) -> tuple[Tensor, Tensor]:
    """Return the probability (N,) and the index (N,) of the predicted class of each target-domain training image."""
    device = task.mean.device
    found = torch.zeros(2, data.sizes[TRAIN], dtype=torch.float64, device=device)
    task.eval()
    for batch in data.in_order(TRAIN):
        confidence, predicted = task(batch["image"].to(device)).float().softmax(1).max(1)
        kept = real(batch)
        index = batch["index"][kept]
        found[0, index], found[1, index] = confidence[kept].double(), predicted[kept].double()
    task.train()
    if rank_and_world()[1] > 1:
        dist.all_reduce(found)
    return found[0], found[1].long()


def most_certain(confidence: Tensor, predicted: Tensor, portion: float) -> Tensor:
    """Return labels (N,): the predicted class for the most confident `portion` of each class, -1 for the rest."""
    labels = torch.full_like(predicted, NONE)
    for one in predicted.unique().tolist():
        members = (predicted == one).nonzero().squeeze(1)
        order = confidence[members].argsort(descending=True, stable=True)
        chosen = members[order[: math.ceil(portion * len(members))]]
        labels[chosen] = one
    return labels
