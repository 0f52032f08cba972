"""The small pictures of test images from which a review shows the worst."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

SIDE = 512  # pixels of the longer side, at most


def reduced(image: Tensor, side: int = SIDE) -> Tensor:
    """Return an image (C, H, W) reduced by a whole number until its longer side fits: uint8 (C, h, w) on the CPU."""
    height, width = image.shape[-2:]
    by = max(1, -(-max(height, width) // side))
    if by == 1:
        return image.cpu()
    size = (max(1, height // by), max(1, width // by))
    return F.interpolate(image[None].float(), size=size, mode="area")[0].round_().clamp_(0, 255).byte().cpu()
