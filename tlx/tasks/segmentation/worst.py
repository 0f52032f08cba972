"""The small pictures of test images with their masks, from which a review shows the worst."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.tasks.dense.reduced import reduced


def picture(image: Tensor, truth: Tensor, predicted: Tensor) -> Tensor:
    """Return an image (C, H, W) with its truth and prediction (H, W), reduced: uint8 (C + 2, h, w) on the CPU."""
    planes = [truth.to(torch.uint8).cpu()[None], predicted.to(torch.uint8).cpu()[None]]
    small = reduced(image)
    size = small.shape[-2:]
    return torch.cat([small, *(F.interpolate(plane[None], size=size, mode="nearest")[0] for plane in planes)])
