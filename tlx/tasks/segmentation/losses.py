"""Losses of segmentation: a weighted sum of cross-entropy, Dice, focal and Lovász terms, in float32.

A term is a function of sums over the pixels of a batch, so several processes can add up their sums first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.data.ignored import IGNORED

_FOCUS = 2.0  # the focal loss's exponent, as in Lin et al. (2017)
_SMALL = 1e-7


def segmentation_loss(
    scores: Tensor,
    target: Tensor,
    terms: Mapping[str, float],
    class_weights: Tensor | None = None,
    add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> Tensor:
    """Return the weighted sum of loss terms over the pixels of a batch, a scalar.

    Ignored pixels count in no term; a batch of nothing else has a loss of 0 with a gradient of 0.

    Args:
        scores: Class scores (B, K, H, W) of any type; computed in float32.
        target: Classes (B, H, W), integers; `IGNORED` counts nowhere.
        terms: Weight of each term, see `loss_terms`.
        class_weights: Weight of each class (K,) in the cross-entropy and the focal loss.
        add_up: From the sums (N,) over this batch to those over the batches of all processes, see
            `tlx.tasks.dense.whole_batch`. A Lovász term is the mean over the processes.
    """
    scores, target = scores.float(), target.long()
    counted = target != IGNORED
    with torch.autocast(scores.device.type, enabled=False):
        own = [_TERMS[name][0](scores, target, counted, class_weights) for name in terms]
        pixels, *sums = add_up(torch.cat([counted.sum()[None].to(scores), *own])).split([1, *map(len, own)])
        if not pixels:
            return scores.sum() * 0.0
        losses = [terms[name] * _TERMS[name][1](part, pixels[0]) for name, part in zip(terms, sums, strict=True)]
        return torch.stack(losses).sum()


def _mean(sums: Tensor, pixels: Tensor) -> Tensor:
    """Return the mean over pixels, not over weights: a rare class's weight is not divided away again."""
    return sums[0] / pixels


def _cross_entropy(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum over pixels (1,)."""
    return F.cross_entropy(scores, target, weights, ignore_index=IGNORED, reduction="sum")[None]


def _areas(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return, one after another, the overlap, the predicted and the true area of each class (3 K,)."""
    probabilities = scores.softmax(1) * counted[:, None]
    truth = F.one_hot(target.masked_fill(~counted, 0), scores.shape[1]).movedim(-1, 1) * counted[:, None]
    places = (0, 2, 3)
    return torch.cat([(probabilities * truth).sum(places), probabilities.sum(places), truth.sum(places)])


def _dice(sums: Tensor, pixels: Tensor) -> Tensor:
    """Return 1 - soft Dice (Milletari et al., V-Net, 2016), the mean over the classes that the batch shows.

    The sums go over the whole batch: an image without a class does not decide alone about that class.
    """
    overlap, called, true = sums.chunk(3)
    dice = 2 * overlap / (called + true).clamp(min=_SMALL)
    return (1 - dice)[true > 0].mean()


def _focal(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum (1,) of the focal loss (Lin et al. 2017, equation 4 with gamma 2)."""
    entropy = F.cross_entropy(scores, target, ignore_index=IGNORED, reduction="none")
    focal = (1 - (-entropy).exp()) ** _FOCUS * entropy
    if weights is not None:
        focal = focal * weights[target.masked_fill(~counted, 0)]
    return focal[counted].sum()[None]


def _lovasz(scores: Tensor, target: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return Lovász-Softmax (Berman et al. 2018, algorithm 1), the mean over the classes that the batch shows.

    Returns:
        The loss, and the number of batches that it is of: 1, or 0 if no pixel counts (2,).
    """
    probabilities = scores.softmax(1).movedim(1, -1)[counted]  # (N, K)
    labels = target[counted]
    losses = []
    for one in labels.unique().tolist():
        truth = (labels == one).float()
        errors, order = (truth - probabilities[:, one]).abs().sort(descending=True)
        losses.append(torch.dot(errors, _lovasz_gradient(truth[order])))
    if not losses:
        return torch.stack([scores.sum() * 0.0, scores.new_zeros(())])
    mean = torch.stack(losses).mean()
    return torch.stack([mean, torch.ones_like(mean)])


def _mean_of_batches(sums: Tensor, pixels: Tensor) -> Tensor:
    return sums[0] / sums[1]


def _lovasz_gradient(truth: Tensor) -> Tensor:
    """Return the gradient (N,) of the Lovász extension of the Jaccard loss, for truth sorted by falling errors."""
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


# Of each term: its sums over the pixels of a batch, and the term from these sums and the number of pixels.
_TERMS = {
    "ce": (_cross_entropy, _mean),
    "dice": (_areas, _dice),
    "focal": (_focal, _mean),
    "lovasz": (_lovasz, _mean_of_batches),
}
