"""The metrics of each split of a classification."""

from __future__ import annotations

from torch import Tensor, nn
from torchmetrics import Metric

from tlx.adaptation.target_entropy import TargetEntropy
from tlx.base.errors import TlxError
from tlx.tasks.classification.class_counts import ClassCounts
from tlx.tasks.classification.mean_auroc import MeanAuroc

AUROC = "val/auroc"


class SplitFigures(nn.Module):
    """Accumulates the metrics of the validation split, the test split and the target domain.

    Args:
        classes: Number of classes K.
        ranked: Whether the area under the ROC curve of the validation split is the monitor, and so is measured.
    """

    def __init__(self, classes: int, ranked: bool) -> None:
        super().__init__()
        self.ranked = ranked
        self.val, self.test = ClassCounts(classes), ClassCounts(classes)
        self.val_auroc, self.target = MeanAuroc(), TargetEntropy(classes)

    def add(self, split: str, scores: Tensor, target: Tensor, weights: Tensor | None) -> None:
        """Add a batch of `val` or `test`.

        Args:
            split: `val` or `test`.
            scores: Class scores (B, K), float32.
            target: Classes (B,), IGNORED for an image that does not count.
            weights: Class weights (K,); None: all 1.
        """
        (self.val if split == "val" else self.test).update(scores, target, weights)
        if split == "val" and self.ranked:
            self.val_auroc.update(scores, target)

    def add_unlabelled(self, scores: Tensor, real: Tensor) -> None:
        """Add a batch of the target domain: class scores (B, K), float32; which rows are not padding (B,), bool."""
        self.target.update(scores, real)

    def take(self, split: str) -> dict[str, Tensor]:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added.

        Raises:
            TlxError: The area under the ROC curve is the monitor, but the validation images are all of one class.
        """
        measured: dict[str, list[Metric]] = {
            "val": [self.val, self.val_auroc], "test": [self.test], "target": [self.target]
        }  # fmt: skip
        found: dict[str, Tensor] = {}
        for metric in measured[split]:
            if metric.update_called:  # a split may be empty
                found |= metric.compute()
            metric.reset()
        if split == "val" and found and self.ranked and "auroc" not in found:
            raise TlxError(  # otherwise no checkpoint would be selected, without any message
                f"task.monitor: expected validation images of two classes or more for {AUROC}, got images of one; "
                "task.monitor=val/loss task.mode=min"
            )
        return found
