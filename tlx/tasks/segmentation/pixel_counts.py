"""Metrics of a split of images with masks, computed from one confusion matrix of all its pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from tlx.tasks.segmentation import scores
from tlx.tasks.segmentation.scores import ClassPixels


class PixelCounts(Metric):
    """Loss, mean IoU with and without background, mean Dice, pixel accuracy and boundary IoU of a split.

    Counts are summed over all images and processes before anything is divided: a mean over images would let a class
    that covers a few pixels of one image decide about that image. Classes absent from truth and prediction are left
    out.

    Args:
        classes: Number of classes K.
        background: Index of the background; None: there is none.
    """

    full_state_update = False

    def __init__(self, classes: int, background: int | None) -> None:
        super().__init__()
        self.background = background
        self.add_state("confusion", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("boundary", torch.zeros(2, classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")  # sum over the images that have one
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")  # these images
        self.confusion: Tensor
        self.boundary: Tensor
        self.loss: Tensor
        self.images: Tensor

    def update(self, confusion: Tensor, loss: Tensor | None, images: int, boundary: Tensor | None) -> None:
        """Add images.

        Args:
            confusion: Pixels by true and predicted class (K, K), or by image (B, K, K), int64.
            loss: Mean loss of the images, a scalar; None: unknown.
            images: Their number.
            boundary: Intersections and unions near contours (2, K), or by image (B, 2, K), int64; None: not measured.
        """
        self.confusion += confusion.reshape(-1, *self.confusion.shape).sum(dim=0)
        if boundary is not None:
            self.boundary += boundary.reshape(-1, *self.boundary.shape).sum(dim=0)
        if loss is not None and images:  # the mean over no image is not a number
            self.loss += loss * images
            self.images += images

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics, each a scalar, float32; `loss` and `boundary_iou` only if they were measured."""
        pixels = ClassPixels.of(self.confusion.cpu())  # float64, which some devices lack
        ious = scores.iou(pixels)
        found = {"miou": scores.class_mean(ious)}
        if self.background is not None:
            found["miou_foreground"] = scores.class_mean(ious, without=self.background)
        found["dice"], found["accuracy"] = scores.class_mean(scores.dice(pixels)), scores.accuracy(pixels)
        if self.boundary.any():
            both, either = self.boundary.cpu().double()
            found["boundary_iou"] = scores.class_mean(both / either)
        if self.images:
            found["loss"] = self.loss / self.images
        return {name: value.to(self.loss) for name, value in found.items()}
