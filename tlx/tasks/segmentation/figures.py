"""The metrics of each split of a segmentation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from tlx.adaptation.target_entropy import TargetEntropy
from tlx.tasks.segmentation.pixel_counts import PixelCounts


class SplitFigures(nn.Module):
    """Accumulates the metrics of the validation split, the test split and the target domain.

    Args:
        num_classes: Number of classes K.
        background: Index of the background; None: there is none.
    """

    def __init__(self, num_classes: int, background: int | None) -> None:
        super().__init__()
        self.val, self.test = PixelCounts(num_classes, background), PixelCounts(num_classes, background)
        self.target = TargetEntropy(num_classes)

    def add(
        self, split: str, confusion: Tensor, loss: Tensor | None = None, images: int = 1, boundary: Tensor | None = None
    ) -> None:
        """Add images of `val` or `test`, without padding. Each process calls this for each batch, also with no image.

        Args:
            split: `val` or `test`.
            confusion: Pixels by true and predicted class (K, K), or by image (B, K, K), int64.
            loss: Mean loss of the images, a scalar; None: unknown.
            images: Number of images, if `confusion` is (K, K).
            boundary: Intersections and unions near contours (2, K), or by image (B, 2, K); None: not measured.
        """
        images = len(confusion) if confusion.ndim == 3 else images
        (self.val if split == "val" else self.test).update(confusion, loss, images, boundary)

    def add_unlabelled(self, scores: Tensor) -> None:
        """Add some pixels of the target domain: class scores (N, K), float32."""
        self.target.update(scores, torch.ones(len(scores), dtype=torch.bool, device=scores.device))

    def take(self, split: str) -> dict[str, Tensor]:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""
        metrics: dict[str, Metric] = {"val": self.val, "test": self.test, "target": self.target}
        metric = metrics[split]
        if not metric.update_called:  # a split may be empty
            return {}
        found: dict[str, Tensor] = metric.compute()
        metric.reset()
        return found
