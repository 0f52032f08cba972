"""The metrics of each split of a detection."""

from __future__ import annotations

from torch import Tensor, nn

from tlx.tasks.detection.box_metrics import THRESHOLDS, BoxMetrics


class SplitFigures(nn.Module):
    """Accumulates the metrics of the validation split and the test split.

    Args:
        num_classes: Number of classes K.
        max_detections: Detections of an image at most.
    """

    def __init__(self, num_classes: int, max_detections: int) -> None:
        super().__init__()
        self.val = BoxMetrics(num_classes, max_detections)
        self.test = BoxMetrics(num_classes, max_detections, by_size=True)

    def add(self, split: str, found: Tensor, truth: Tensor, loss: Tensor | None = None) -> None:
        """Add images of `val` or `test`, without padding. Each process calls this for each batch, also with no image.

        Args:
            split: `val` or `test`.
            found: Detections (B, D, 6), highest score first; those below LEAST_SCORE do not count.
            truth: Objects (B, N, 6).
            loss: Mean loss of the images, a scalar; None: unknown.
        """
        (self.val if split == "val" else self.test).update(found, truth, loss)

    def thresholds(self) -> Tensor:
        """Return the score with the best F1 of each class (K,) on `val`, before `take` resets it.

        Call it in all processes, or in none.

        Raises:
            ValueError: No batch was added to `val`.
        """
        if not self.val.update_called:
            raise ValueError("expected batches of val before thresholds() is called, got none")
        found: Tensor = self.val.compute()[THRESHOLDS]
        return found.reshape(-1)  # torchmetrics makes a scalar of one number

    def take(self, split: str) -> dict[str, Tensor]:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""
        metric = {"val": self.val, "test": self.test}.get(split)
        if metric is None or not metric.update_called:  # a split may be empty
            return {}
        found: dict[str, Tensor] = metric.compute()
        metric.reset()
        return {name: value for name, value in found.items() if name != THRESHOLDS}
