"""Adaptation from predictions on the target domain alone: minimise the confusion between classes."""

from __future__ import annotations

import torch
from torch import Tensor

from tlx.adaptation.base import Adaptation, Domain, entropy, widened


class Mcc(Adaptation):
    """MCC (Jin et al. 2020): minimum class confusion in batches of the target domain.

    Args:
        weight: Factor of the penalty.
        start: See `Adaptation`.
        batch_norm: See `Adaptation`.
        temperature: Divides the logits, so that confident predictions do not dominate.
    """

    def __init__(
        self, weight: float = 1.0, start: float = 0.0, batch_norm: str = "separate", temperature: float = 2.5
    ) -> None:
        super().__init__(weight, start, batch_norm)
        self.temperature = temperature

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the mean confusion of a class with the others, a scalar (their equations 3 to 7)."""
        p = (widened(target.logits) / self.temperature).softmax(1)
        weight = 1 + torch.exp(-entropy(p)).detach()
        weight = len(p) * weight / weight.sum()
        confusion = (p * weight.unsqueeze(1)).T @ p  # (K, K)
        confusion = confusion / confusion.sum(1, keepdim=True)
        return (confusion.sum() - confusion.trace()) / p.shape[1]
