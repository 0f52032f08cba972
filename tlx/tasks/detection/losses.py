"""Losses of detection that need no values on the CPU: locations that do not count have a weight of 0."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss


def focal(logits: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
    """Return the focal loss of each image (B,), the sum over its locations (Lin et al., 2017).

    Args:
        logits: Class logits (B, P, K), float32.
        classes: The class of each location (B, P), int64; negative: background.
        counts: Which locations count (B, P).
    """
    truth = torch.zeros_like(logits).scatter_(-1, classes.clamp(min=0)[..., None], 1.0)
    truth = truth * (classes >= 0)[..., None]
    losses: Tensor = sigmoid_focal_loss(logits, truth, reduction="none")
    return (losses.sum(-1) * counts).sum(-1)


def giou(boxes: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - generalised intersection over union (Rezatofighi et al., 2019) of pairs of boxes (…, 4): (…,)."""
    low, high = torch.maximum(boxes[..., :2], truth[..., :2]), torch.minimum(boxes[..., 2:], truth[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    either = area(boxes) + area(truth) - both
    around = torch.maximum(boxes[..., 2:], truth[..., 2:]) - torch.minimum(boxes[..., :2], truth[..., :2])
    hull = around.prod(-1)
    small = 1e-7
    return 1 - both / (either + small) + (hull - either) / (hull + small)


def area(boxes: Tensor) -> Tensor:
    """Return the areas (…,) of boxes (…, 4)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlaps(boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return how boxes overlap with others: intersection over union (B, P, N), and over the area of the former.

    Args:
        boxes: Boxes (P, 4), or (B, P, 4).
        truth: Other boxes (B, N, 4).
    """
    boxes = boxes[..., None, :]
    truth = truth[:, None]
    low, high = torch.maximum(boxes[..., :2], truth[..., :2]), torch.minimum(boxes[..., 2:], truth[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    own = area(boxes)
    return both / (own + area(truth) - both).clamp(min=1e-7), both / own.clamp(min=1e-7)


def smooth_l1(found: Tensor, truth: Tensor, weights: Tensor, beta: float) -> Tensor:
    """Return the smooth L1 loss of each image (B,), the sum over its weighted rows.

    Args:
        found: Predictions (B, P, 4).
        truth: What they should be (B, P, 4).
        weights: The weight of each row (B, P).
        beta: The difference at which the loss becomes linear; 0: everywhere.
    """
    return (F.smooth_l1_loss(found, truth, beta=beta, reduction="none").sum(-1) * weights).sum(-1)
