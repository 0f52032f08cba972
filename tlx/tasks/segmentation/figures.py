"""The metrics of each split of a segmentation."""

from __future__ import annotations

from torch import Tensor, nn

from tlx.tasks.segmentation.pixel_counts import PixelCounts


class SplitFigures(nn.Module):
    """Accumulates the metrics of the validation split and the test split.

    Args:
        num_classes: Number of classes K.
        background: Index of the background; None: there is none.
    """

    def __init__(self, num_classes: int, background: int | None) -> None:
        super().__init__()
        self.val, self.test = PixelCounts(num_classes, background), PixelCounts(num_classes, background)

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

    def take(self, split: str) -> dict[str, Tensor]:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""
        metric = {"val": self.val, "test": self.test}.get(split)
        if metric is None or not metric.update_called:  # a split may be empty
            return {}
        found: dict[str, Tensor] = metric.compute()
        metric.reset()
        return found
