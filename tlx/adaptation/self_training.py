"""Adaptation by pseudo-labels: the network's own verdicts on the target, more of them as training goes on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy

from tlx.adaptation.base import Adaptation, Domain, Network, widened
from tlx.base.ranks import rank_and_world
from tlx.data.domains import TRAIN

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule

NONE = -1  # in the place of a label


class SelfTraining(Adaptation):
    """Class-balanced self-training (Zou et al. 2018): each epoch the most certain images of each class get its label.

    Before every epoch all images of the target domain are judged, without augmentation and in eval mode. Of those that
    a class is given, the most certain part keeps this label, and counts in the loss of this epoch. That part grows from
    `portion_start` to `portion_end`, which is a threshold on the probability that falls, for each class its own.

    Args:
        weight: Factor of the pseudo-labels' cross-entropy.
        start: Part of the training before which there are no pseudo-labels.
        batch_norm: See `Adaptation`.
        portion_start: Part of the images of a class that is labelled first.
        portion_end: Part that is labelled at the end.
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
        """Make room for a label of each image; it is part of the checkpoint, for a run that stops in an epoch."""
        self.register_buffer("labels", torch.full((data.sizes[TRAIN],), NONE))

    def begin_epoch(self, task: Network, data: ImageDataModule, progress: float) -> None:
        """Label the most certain images anew."""
        portion = self.portion_start + (self.portion_end - self.portion_start) * progress
        confidence, verdict = judged(task, data)
        self.labels.copy_(most_certain(confidence, verdict, portion))

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return a scalar: the mean cross-entropy of the images that have a pseudo-label; 0 where none has."""
        labels = self.labels[target.index]
        each = cross_entropy(widened(target.logits), labels, ignore_index=NONE, reduction="sum")
        return each / (labels != NONE).sum().clamp(min=1)


@torch.no_grad()
def judged(task: Network, data: ImageDataModule) -> tuple[Tensor, Tensor]:
    """Return the probability and the class (N,) that the network gives each training image of the target domain."""
    device = task.mean.device
    found = torch.zeros(2, data.sizes[TRAIN], dtype=torch.float64, device=device)
    task.eval()
    for batch in data.in_order(TRAIN):
        confidence, verdict = task(batch["image"].to(device)).float().softmax(1).max(1)
        real = batch["index"] >= 0
        index = batch["index"][real]
        found[0, index], found[1, index] = confidence[real].double(), verdict[real].double()
    task.train()
    if rank_and_world()[1] > 1:
        dist.all_reduce(found)
    return found[0], found[1].long()


def most_certain(confidence: Tensor, verdict: Tensor, portion: float) -> Tensor:
    """Return labels (N,): of each class the verdicts of its most certain images, `portion` of them; -1 for the rest."""
    labels = torch.full_like(verdict, NONE)
    for one in verdict.unique().tolist():
        members = (verdict == one).nonzero().squeeze(1)
        order = confidence[members].argsort(descending=True, stable=True)
        chosen = members[order[: math.ceil(portion * len(members))]]
        labels[chosen] = one
    return labels
