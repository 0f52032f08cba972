"""The mean loss of an epoch, for any number of processes and for runs that stop in the middle of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


class MeanLoss:
    """Adds up the losses of an epoch's images on their device, without synchronising before the end of the epoch."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._images = 0

    def add(self, loss: Tensor, images: int) -> None:
        """Add a step: its mean loss, a scalar, and its number of images."""
        if self._sum is None:
            self._sum = torch.zeros((), device=loss.device)
        self._sum.add_(loss.detach(), alpha=images)
        self._images += images

    def totals(self) -> Tensor:
        """Return the sum of the losses and the number of images (2,), to be summed over processes, and reset them."""
        assert self._sum is not None, "no step was added"
        totals = torch.stack([self._sum, torch.full_like(self._sum, self._images)])
        self._sum, self._images = None, 0
        return totals

    def state(self) -> dict[str, float]:
        """Return the sums of this epoch so far, as plain numbers."""
        return {"total": 0.0 if self._sum is None else float(self._sum), "weight": float(self._images)}

    def load(self, state: dict[str, float], device: torch.device) -> None:
        """Restore the sums from a state."""
        self._sum, self._images = torch.tensor(state["total"], device=device), int(state["weight"])
