"""Masks and boxes moved as `Distortion` moves their images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from tlx.data.augmentation.distortion import Distortion


def moved_masks(masks: Tensor, distortion: Distortion, drawn: Tensor, beyond: int = 0) -> Tensor:
    """Return masks after their images were distorted: each pixel has the class of the nearest one that it comes from.

    Args:
        masks: Classes of pixels (B, H, W), integers below 2**24.
        distortion: What was done to the images.
        drawn: What was drawn for each of them (B, 21).
        beyond: Class of what comes from outside the image.
    """
    height, width = masks.shape[-2:]
    grid = distortion.grid(drawn.to(masks.device), (height, width))
    if grid is None:
        return masks
    shifted = masks.unsqueeze(1).float() - beyond
    moved = grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False) + beyond
    return moved.squeeze(1).to(masks.dtype)


def moved_boxes(boxes: Tensor, distortion: Distortion, drawn: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the upright boxes around boxes that were distorted with their images; they may reach beyond the images.

    Args:
        boxes: Left, top, right and bottom in pixels (B, N, 4).
        distortion: What was done to the images.
        drawn: What was drawn for each of them (B, 21).
        size: Height and width of the images in pixels.
    """
    if distortion.grid(drawn[:1], (1, 1)) is None:
        return boxes
    a, b, c, d, e, f = drawn[:, :6].to(boxes.device).view(-1, 6, 1, 1).unbind(1)  # from a place in the result
    left, top, right, bottom = boxes.float().unbind(-1)  # to one in the image: these are inverted
    height, width = size
    x = torch.stack([left, right, left, right], dim=-1) * 2 / width - 1 - c  # (B, N, 4) corners
    y = torch.stack([top, top, bottom, bottom], dim=-1) * 2 / height - 1 - f
    determinant = a * e - b * d
    x, y = (e * x - b * y) / determinant, (a * y - d * x) / determinant
    x, y = (x + 1) * width / 2, (y + 1) * height / 2
    return torch.stack([x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)], dim=-1)
