"""The area under the ROC curve of each class against the others, and the metric that collects a split for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification.auroc import binary_auroc

from tlx.tasks.classification.class_counts import IGNORED


def one_vs_rest_auroc(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return the AUROC of each class against all others (K,), float64, by torchmetrics.

    It is the probability that an image of the class scores higher for this class than an image of another class; ties
    count half (Hanley and McNeil 1982). It is NaN if the class has no image, or if no other class has one.

    Args:
        probabilities: (N, K), in [0, 1].
        target: True classes (N,).
    """
    found = torch.full((probabilities.shape[1],), torch.nan, dtype=torch.float64, device=probabilities.device)
    counts = torch.bincount(target, minlength=len(found)).tolist()
    for one, count in enumerate(counts):
        if 0 < count < len(target):
            found[one] = binary_auroc(probabilities[:, one], (target == one).long(), validate_args=False)
    return found


class MeanAuroc(Metric):
    """The mean of `one_vs_rest_auroc` over the classes for which it is defined.

    Unlike `ClassCounts`, it keeps the probabilities of all images, N * K numbers of 4 bytes, and gathers them from all
    processes. Use it only if this metric is needed.
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")
        self.probabilities: list[Tensor] | Tensor  # one tensor after gathering
        self.targets: list[Tensor] | Tensor

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: logits (B, K), float32; classes (B,); an image of class IGNORED does not count."""
        assert isinstance(self.probabilities, list)
        assert isinstance(self.targets, list)
        self.probabilities.append(logits.softmax(1))
        self.targets.append(target)

    def compute(self) -> dict[str, Tensor]:
        """Return `auroc`, a scalar; an empty dict if all images are of one class."""
        probabilities, target = (_concatenated(state) for state in (self.probabilities, self.targets))
        real = target != IGNORED
        each = one_vs_rest_auroc(probabilities[real], target[real])
        return {"auroc": each.nanmean().float()} if not each.isnan().all() else {}


def _concatenated(state: list[Tensor] | Tensor) -> Tensor:
    return torch.cat(state) if isinstance(state, list) else state
