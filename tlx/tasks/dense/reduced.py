"""The small pictures of test images from which a review shows the worst."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 512  # pixels of the longer side, at most


def reduced(image: Tensor, side: int = SIDE) -> Tensor:
    """Return an image (C, H, W) reduced by a whole number until its longer side fits: uint8 (C, h, w) on the CPU.

    A pixel is the mean of an area. Few rows at a time become floats: a whole large image would take 12 bytes a pixel.
    """
    height, width = image.shape[-2:]
    by = max(1, -(-max(height, width) // side))
    if by == 1:
        return image.cpu()
    lines, columns = max(1, height // by), max(1, width // by)
    rows = []
    for i in range(lines):
        first, last = i * height // lines, -(-(i + 1) * height // lines)
        rows.append(F.adaptive_avg_pool2d(image[:, first:last].float(), (1, columns)))
    return torch.cat(rows, dim=1).round_().clamp_(0, 255).byte().cpu()
