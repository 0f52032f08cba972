"""The small pictures of test images with their masks, from which a review shows the worst."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 512  # pixels of the longer side, at most


def picture(image: Tensor, truth: Tensor, predicted: Tensor) -> Tensor:
    """Return an image (C, H, W) with its truth and prediction (H, W), reduced: uint8 (C + 2, h, w) on the CPU."""
    planes = [truth.to(torch.uint8).cpu()[None], predicted.to(torch.uint8).cpu()[None]]
    height, width = image.shape[-2:]
    by = max(1, -(-max(height, width) // SIDE))
    if by == 1:
        return torch.cat([image.cpu(), *planes])
    size = (height // by, width // by)
    small = F.interpolate(image[None].float(), size=size, mode="area")[0].round_().to(torch.uint8).cpu()
    return torch.cat([small, *(F.interpolate(plane[None], size=size, mode="nearest")[0] for plane in planes)])
