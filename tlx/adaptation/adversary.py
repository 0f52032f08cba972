"""Adversarial adaptation: a discriminator learns to distinguish the domains, the features learn to prevent that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tlx.adaptation.base import Adaptation, Domain, Network, entropy, widened

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule

WIDEST = 4096  # the largest features x classes for which CDAN uses the full product instead of a random map


class _Reversed(torch.autograd.Function):
    """The identity; its gradient is multiplied by -factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """Return `x`, of any shape; its gradient is multiplied by -factor."""
    same: Tensor = _Reversed.apply(x, factor)
    return same


def reversal(progress: float, slope: float = 10.0) -> float:
    """Return the factor of the reversed gradient; it grows from 0 to 1 (Ganin et al. 2016, section 5.2.2).

    It depends on the progress alone, so a resumed run has the same factor as an uninterrupted one.
    """
    return 2 / (1 + math.exp(-slope * progress)) - 1


class Dann(Adaptation):
    """DANN (Ganin et al. 2016): features from which a discriminator cannot distinguish source and target.

    Args:
        weight: Factor of the penalty.
        start: See `Adaptation`.
        batch_norm: See `Adaptation`.
        hidden: Width of the discriminator's two hidden layers.
        slope: How fast the reversed gradient grows, see `reversal`.
    """

    def __init__(
        self,
        weight: float = 1.0,
        start: float = 0.0,
        batch_norm: str = "separate",
        hidden: int = 256,
        slope: float = 10.0,
    ) -> None:
        super().__init__(weight, start, batch_norm)
        self.hidden, self.slope = hidden, slope
        self.discriminator: nn.Module = nn.Identity()

    def build(self, task: Network, data: ImageDataModule) -> None:
        """Make the discriminator."""
        self.discriminator = discriminator(self.width(task), self.hidden)

    def width(self, task: Network) -> int:
        """Return the number of inputs of the discriminator."""
        return task.backbone.num_features

    def trained(self) -> list[nn.Module]:
        """Return the discriminator."""
        return [self.discriminator]

    def seen(self, domain: Domain) -> Tensor:
        """Return the discriminator's input for a batch (B, width)."""
        return widened(domain.features)

    def importance(self, domain: Domain) -> Tensor:
        """Return the weight of each image (B,), with mean 1."""
        return torch.ones(len(domain.logits), device=domain.logits.device)

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the discriminator's binary cross-entropy, a scalar, averaged over both domains."""
        factor = reversal(progress, self.slope)
        dtype = next(self.discriminator.parameters()).dtype  # float64 or bfloat16 if all weights are
        losses = []
        for domain, label in ((source, 1.0), (target, 0.0)):
            score = widened(self.discriminator(reverse_gradient(self.seen(domain), factor).to(dtype)).squeeze(1))
            each = binary_cross_entropy_with_logits(score, torch.full_like(score, label), reduction="none")
            losses.append((each * self.importance(domain)).mean())
        return (losses[0] + losses[1]) / 2


class Cdan(Dann):
    """CDAN+E (Long et al. 2018): the discriminator reads features x class probabilities; confident images count more.

    If features x classes exceeds 4,096 numbers, a random map of both replaces their product (their section 3.2). The
    map is part of the checkpoint.

    Args:
        weight: Factor of the penalty.
        start: See `Adaptation`.
        batch_norm: See `Adaptation`.
        hidden: Width of the discriminator's two hidden layers.
        slope: How fast the reversed gradient grows, see `reversal`.
        entropy: Whether images with confident predictions count more.
    """

    def __init__(
        self,
        weight: float = 1.0,
        start: float = 0.0,
        batch_norm: str = "separate",
        hidden: int = 256,
        slope: float = 10.0,
        entropy: bool = True,
    ) -> None:
        super().__init__(weight, start, batch_norm, hidden, slope)
        self.entropy = entropy
        self.feature_map: Tensor
        self.class_map: Tensor

    def build(self, task: Network, data: ImageDataModule) -> None:
        """Make the discriminator, and the random map if one is needed."""
        features, classes = task.backbone.num_features, len(task.class_names)
        if features * classes > WIDEST:
            self.register_buffer("feature_map", torch.randn(features, WIDEST))
            self.register_buffer("class_map", torch.randn(classes, WIDEST))
        super().build(task, data)

    def width(self, task: Network) -> int:
        """Return the number of inputs of the discriminator."""
        return min(task.backbone.num_features * len(task.class_names), WIDEST)

    def seen(self, domain: Domain) -> Tensor:
        """Return features x probabilities (B, F * K), or their random map (B, 4096)."""
        features, probabilities = widened(domain.features), widened(domain.logits).softmax(1).detach()
        if hasattr(self, "feature_map"):
            return (features @ self.feature_map) * (probabilities @ self.class_map) / math.sqrt(WIDEST)
        return (features.unsqueeze(2) * probabilities.unsqueeze(1)).flatten(1)

    def importance(self, domain: Domain) -> Tensor:
        """Return 1 + exp(-entropy) of each image (B,), scaled to a mean of 1 (their equation 8)."""
        if not self.entropy:
            return super().importance(domain)
        certain = 1 + torch.exp(-entropy(widened(domain.logits.detach()).softmax(1)))
        return certain / certain.mean()


def discriminator(width: int, hidden: int) -> nn.Module:
    """Return a network from (B, width) to one logit per image (B, 1), positive for the source domain."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, 1),
    )  # fmt: skip
