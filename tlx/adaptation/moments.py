"""Adaptation by matching moments: of activations (AdaBN), of features (Deep CORAL), of all orders (DAN)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tlx.adaptation.base import Adaptation, Domain, Network, need_batch_norm, widened

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule


class AdaBn(Adaptation):
    """BatchNorm statistics of the target domain, weights of the source (Li et al., Revisiting BatchNorm, 2016).

    While the weights train on the source, batches of the target pass through the network only to update the running
    statistics that evaluation uses.
    """

    needs_gradient = False

    def __init__(self) -> None:
        super().__init__(weight=0.0)

    def build(self, task: Network, data: ImageDataModule) -> None:
        """Refuse networks without BatchNorm."""
        need_batch_norm(task, "adabn")

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return 0, a scalar."""
        return torch.zeros((), device=source.index.device)


class Coral(Adaptation):
    """Deep CORAL (Sun and Saenko 2016): match the covariances of the features of both domains.

    Args:
        weight: Factor of the penalty.
        start: See `Adaptation`.
        batch_norm: See `Adaptation`.
    """

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the squared Frobenius distance of the covariances over 4 F² (their equation 1), a scalar."""
        width = source.features.shape[1]
        difference = _covariance(widened(source.features)) - _covariance(widened(target.features))
        return difference.square().sum() / (4 * width**2)


class Dan(Adaptation):
    """DAN (Long et al. 2015): minimise the maximum mean discrepancy of features and of class probabilities.

    Args:
        weight: Factor of the penalty.
        start: See `Adaptation`.
        batch_norm: See `Adaptation`.
        kernels: Number of Gaussian kernels that are averaged; their variances are 2^k times the mean squared distance
            in the pooled batch, with k from -(kernels // 2) upwards.
    """

    def __init__(self, weight: float = 1.0, start: float = 0.0, batch_norm: str = "separate", kernels: int = 5) -> None:
        super().__init__(weight, start, batch_norm)
        self.kernels = kernels

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the sum of both discrepancies, a scalar."""
        features = multi_kernel_mmd(widened(source.features), widened(target.features), self.kernels)
        probabilities = widened(source.logits).softmax(1), widened(target.logits).softmax(1)
        return features + multi_kernel_mmd(*probabilities, self.kernels)


def multi_kernel_mmd(one: Tensor, other: Tensor, kernels: int) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples (B, F) and (B', F), unbiased (Gretton et al. 2012)."""
    pooled = torch.cat([one, other])
    count, norms = len(pooled), pooled.square().sum(1)
    distances = (norms.unsqueeze(0) + norms.unsqueeze(1) - 2 * pooled @ pooled.T).clamp(min=0)
    distances = distances * (1 - torch.eye(count, device=pooled.device))
    mean = distances.detach().sum() / (count * (count - 1))
    powers = range(-(kernels // 2), (kernels + 1) // 2)
    k = torch.stack([torch.exp(-distances / (2 * mean * 2.0**power + 1e-12)) for power in powers]).mean(0)
    m, n = len(one), len(other)
    within_one = (k[:m, :m].sum() - k[:m, :m].trace()) / (m * (m - 1))
    within_other = (k[m:, m:].sum() - k[m:, m:].trace()) / (n * (n - 1))
    return within_one + within_other - 2 * k[:m, m:].mean()


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(0, keepdim=True)
    return centred.T @ centred / max(len(features) - 1, 1)
