"""Mosaics: four images with their boxes on one canvas (Bochkovskiy et al., YOLOv4, 2020, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.transforms import v2

from tlx.data.augmentation.box_crops import BoxCrop
from tlx.data.region import Region

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing

JITTER = (0.5, 1.0)  # of the scale of an image in a mosaic
_SHARE = 0.5  # of the samples; the others look as when they are tested
_CENTRE = (0.35, 0.65)  # where the four images meet, as fractions of the canvas

Moved = tuple[Tensor, Tensor]  # an image (C, h, w), and its boxes (N, 6)


class Mosaic:
    """Puts crops of four images into the four corners of a canvas.

    Args:
        preprocessing: Size of the canvas, sides of resized images, interpolation, mean colour.
        horizontal_flip: Whether mirrored images are examples, too.
    """

    def __init__(self, preprocessing: Preprocessing, horizontal_flip: bool) -> None:
        self.preprocessing, self.horizontal_flip = preprocessing, horizontal_flip

    def draw(self, images: int) -> tuple[list[int], list[Region]] | None:
        """Draw the places of three further images, and the area of each of the four; None: no mosaic.

        Args:
            images: Number of images to draw from.
        """
        draw = torch.rand(6).tolist()
        if draw[0] >= _SHARE:
            return None
        height, width = self.preprocessing.height_width
        low, high = _CENTRE
        y, x = (round(side * (low + (high - low) * u)) for side, u in zip((height, width), draw[1:3], strict=True))
        areas = [(0, 0, y, x), (0, x, y, width - x), (y, 0, height - y, x), (y, x, height - y, width - x)]
        return [int(u * images) for u in draw[3:]], areas

    def joined(
        self, areas: Sequence[Region], moved: Callable[[int, v2.Transform], Moved]
    ) -> tuple[Tensor, list[Moved]]:
        """Return the canvas (C, H, W), and for each image the x and y (2,) at which its area begins, and its boxes.

        Args:
            areas: The area of each image.
            moved: Returns an image and its boxes, moved by a transform, for the number of the image.
        """
        canvas: Tensor | None = None
        found = []
        for number, (top, left, height, width) in enumerate(areas):
            crop = BoxCrop(replace(self.preprocessing, size=(height, width)), JITTER)
            steps = [crop, v2.RandomHorizontalFlip()] if self.horizontal_flip else [crop]
            image, boxes = moved(number, v2.Compose(steps))
            if canvas is None:
                canvas = image.new_empty(image.shape[0], *self.preprocessing.height_width)
            canvas[:, top : top + height, left : left + width] = image
            found.append((torch.tensor([left, top]), boxes))
        assert canvas is not None
        return canvas, found
