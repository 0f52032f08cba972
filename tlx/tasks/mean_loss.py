"""The mean loss of an optimizer step, and that of an epoch with its accuracy: for any number of processes, and for runs
that stop in the middle of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


class StepLoss:
    """The mean loss over the images of all batches whose gradients make one optimizer step."""

    def __init__(self) -> None:
        self._step, self._images = -1, 0
        self._mean = torch.zeros(())

    def add(self, loss: Tensor, images: int, step: int) -> Tensor:
        """Add a batch of the step with this number: its mean loss and its images. Return the mean so far, a scalar."""
        if step != self._step:
            self._step, self._images, self._mean = step, 0, loss.detach()
        self._images += images
        self._mean = self._mean + (loss.detach() - self._mean) * (images / self._images)
        return self._mean


class MeanLoss:
    """Adds up the losses of an epoch's images on their device, without synchronising before the end of the epoch."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._hits: Tensor | None = None
        self._images = 0

    def add(self, loss: Tensor, images: int, hits: Tensor | None = None) -> None:
        """Add a step: its mean loss, a scalar, its number of images, and how many are predicted right, a scalar."""
        if self._sum is None:
            self._sum = torch.zeros((), device=loss.device)
        self._sum.add_(loss.detach(), alpha=images)
        self._images += images
        if hits is not None:
            self._hits = hits if self._hits is None else self._hits + hits

    @property
    def counts_hits(self) -> bool:
        """Whether images that are predicted right were counted."""
        return self._hits is not None

    def totals(self) -> Tensor:
        """Return the sum of losses, the images and the hits (3,), to be summed over processes, and reset them."""
        assert self._sum is not None, "no step was added"
        hits = torch.zeros_like(self._sum) if self._hits is None else self._hits.to(self._sum)
        totals = torch.stack([self._sum, torch.full_like(self._sum, self._images), hits])
        self._sum, self._hits, self._images = None, None, 0
        return totals

    def state(self) -> dict[str, float]:
        """Return the sums of this epoch so far, as plain numbers."""
        total, hits = (0.0 if one is None else float(one) for one in (self._sum, self._hits))
        return {"total": total, "weight": float(self._images), "hits": hits}

    def load(self, state: dict[str, float], device: torch.device) -> None:
        """Restore the sums from a state."""
        self._sum, self._images = torch.tensor(state["total"], device=device), int(state["weight"])
        self._hits = torch.tensor(int(state.get("hits", 0)), device=device) if state.get("hits") else None
