"""Losses of segmentation: a weighted sum of cross-entropy, Dice, focal and Lovász terms, in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.data.ignored import IGNORED

_FOCUS = 2.0  # the focal loss's exponent, as in Lin et al. (2017)
_SMALL = 1e-7


def segmentation_loss(
    scores: Tensor, target: Tensor, terms: Mapping[str, float], class_weights: Tensor | None = None
) -> Tensor:
    """Return the weighted sum of loss terms over the pixels of a batch, a scalar.

    Ignored pixels count in no term; a batch of nothing else has a loss of 0 with a gradient of 0.

    Args:
        scores: Class scores (B, K, H, W) of any type; computed in float32.
        target: Classes (B, H, W), integers; `IGNORED` counts nowhere.
        terms: Weight of each term, see `loss_terms`.
        class_weights: Weight of each class (K,) in the cross-entropy and the focal loss.
    """
    scores, target = scores.float(), target.long()
    counted = target != IGNORED
    if not counted.any():
        return scores.sum() * 0.0
    with torch.autocast(scores.device.type, enabled=False):
        losses = [weight * _TERMS[name](scores, target, counted, class_weights) for name, weight in terms.items()]
        return torch.stack(losses).sum()


def _cross_entropy(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over pixels, not over weights: a rare class's weight is not divided away again."""
    if weights is None:
        return F.cross_entropy(scores, target, ignore_index=IGNORED)
    total = F.cross_entropy(scores, target, weights, ignore_index=IGNORED, reduction="sum")
    return total / counted.sum()


def _dice(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return 1 - soft Dice (Milletari et al., V-Net, 2016), the mean over the classes that the batch shows.

    The sums go over the whole batch: an image without a class does not decide alone about that class.
    """
    probabilities = scores.softmax(1) * counted[:, None]
    truth = F.one_hot(target.masked_fill(~counted, 0), scores.shape[1]).movedim(-1, 1) * counted[:, None]
    places = (0, 2, 3)
    overlap = 2 * (probabilities * truth).sum(places)
    present = truth.sum(places) > 0
    dice = overlap / (probabilities.sum(places) + truth.sum(places)).clamp(min=_SMALL)
    return (1 - dice)[present].mean()


def _focal(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the focal loss (Lin et al. 2017, equation 4 with gamma 2), the mean over pixels."""
    entropy = F.cross_entropy(scores, target, ignore_index=IGNORED, reduction="none")
    focal = (1 - (-entropy).exp()) ** _FOCUS * entropy
    if weights is not None:
        focal = focal * weights[target.masked_fill(~counted, 0)]
    return focal[counted].mean()


def _lovasz(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return Lovász-Softmax (Berman et al. 2018, algorithm 1), the mean over the classes that the batch shows."""
    probabilities = scores.softmax(1).movedim(1, -1)[counted]  # (N, K)
    labels = target[counted]
    losses = []
    for one in labels.unique().tolist():
        truth = (labels == one).float()
        errors, order = (truth - probabilities[:, one]).abs().sort(descending=True)
        losses.append(torch.dot(errors, _lovasz_gradient(truth[order])))
    return torch.stack(losses).mean()


def _lovasz_gradient(truth: Tensor) -> Tensor:
    """Return the gradient (N,) of the Lovász extension of the Jaccard loss, for truth sorted by falling errors."""
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


_TERMS = {"ce": _cross_entropy, "dice": _dice, "focal": _focal, "lovasz": _lovasz}
