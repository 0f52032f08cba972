"""Crops of images together with their boxes: random ones for training, tiles for validation, of a canvas's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tlx.data.augmentation.canvas import resized, scale
from tlx.data.augmentation.names import MOSAIC
from tlx.data.augmentation.transforms import ENOUGH
from tlx.data.region import Region

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing

# Of the scale, evenly on a logarithmic axis.
JITTER = {"none": (1.0, 1.0), "light": (0.7, 1.4), "strong": (0.5, 2.0), MOSAIC: (0.7, 1.4)}
_AROUND_OBJECTS = 0.75  # probability that a crop of an image with objects is drawn around one of them


class OnCanvas(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Resizes a part of an image and of its boxes, and puts it into the top left corner of a canvas.

    The rest of the canvas has the mean colour of the backbone's images, which becomes about zero when it is normalised,
    as the padding of whole images is. Boxes are not cut off.

    Args:
        preprocessing: Size of the canvas, sides of resized images, interpolation, mean colour.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        assert preprocessing.sides is not None
        self.canvas, self.sides = preprocessing.height_width, preprocessing.sides
        self.interpolation = v2.InterpolationMode(preprocessing.interpolation)
        self.fill = [round(255 * mean) for mean in preprocessing.mean]

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Return the part in pixels of the image, and the height and width to which it is resized."""
        own: tuple[int, int] = tuple(F.get_size(flat_inputs[0]))
        boxes = [item for item in flat_inputs if isinstance(item, tv_tensors.BoundingBoxes)]
        region, size = self.part(own, boxes[0].as_subclass(Tensor).tolist() if boxes else [])
        return {"region": region, "size": size}

    def part(self, own: tuple[int, int], boxes: Sequence[Sequence[float]]) -> tuple[Region, tuple[int, int]]:
        """Return a region of an image of height and width `own`, and the size that it is resized to."""
        raise NotImplementedError

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Move the image or its boxes."""
        (top, left, height, width), size = params["region"], params["size"]
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            start, factor = torch.tensor([left, top] * 2), torch.tensor([size[1] / width, size[0] / height] * 2)
            moved = (inpt.as_subclass(Tensor) - start) * factor
            return tv_tensors.wrap(moved, like=inpt, canvas_size=self.canvas)
        image = F.crop(inpt, top, left, height, width)
        if size != (height, width):
            image = F.resize(image, list(size), interpolation=self.interpolation, antialias=True)
        return image if size == self.canvas else self._padded(image)

    def _padded(self, image: Tensor) -> Tensor:
        """Return an image (C, h, w) at the top left of the canvas (C, H, W)."""
        channels, (height, width) = image.shape[-3], image.shape[-2:]
        colour = self.fill if channels == len(self.fill) else [round(sum(self.fill) / len(self.fill))] * channels
        plane = image.new_tensor(colour).view(-1, 1, 1).expand(*image.shape[:-2], *self.canvas).clone()
        plane[..., :height, :width] = image
        return tv_tensors.wrap(plane, like=image) if isinstance(image, tv_tensors.TVTensor) else plane


class BoxCrop(OnCanvas):
    """Cuts a random part of the canvas's size out of an image whose scale is drawn.

    An image that is smaller than the canvas is shown whole. Three of four crops of an image with objects are drawn
    around one of them, which is shown as a whole if it is not larger than the crop; the others lie anywhere.

    Args:
        preprocessing: See `OnCanvas`.
        jitter: Smallest and largest scale, in times that of the resized image.
    """

    def __init__(self, preprocessing: Preprocessing, jitter: tuple[float, float]) -> None:
        super().__init__(preprocessing)
        self.jitter = jitter

    def part(self, own: tuple[int, int], boxes: Sequence[Sequence[float]]) -> tuple[Region, tuple[int, int]]:
        """Draw the region."""
        draw = torch.rand(5).tolist()
        low, high = (math.log(end) for end in self.jitter)
        factor = scale(own, self.sides) * math.exp(low + (high - low) * draw[0])
        around = boxes[int(draw[1] * len(boxes))] if boxes and draw[2] < _AROUND_OBJECTS else None
        region, size = [], []
        for axis in (0, 1):
            length, side = self.canvas[axis], own[axis]
            whole = max(1, round(side * factor))
            part = side if whole <= length else min(side, max(1, round(length / factor)))
            object_ = None if around is None else (around[1 - axis], around[3 - axis])
            region.append((_start(side, part, draw[3 + axis], object_), part))
            size.append(min(whole, length))
        (top, height), (left, width) = region
        return (top, left, height, width), (size[0], size[1])


class BoxTile(OnCanvas):
    """Cuts a region of the canvas's size out of a resized image.

    Args:
        preprocessing: See `OnCanvas`.
        region: The region in pixels of the resized image; None: its top left corner, all of an image that fits.
    """

    def __init__(self, preprocessing: Preprocessing, region: Region | None = None) -> None:
        super().__init__(preprocessing)
        self.preprocessing, self.region = preprocessing, region

    def at(self, region: Region) -> BoxTile:
        """Return the same for another region."""
        return BoxTile(self.preprocessing, region)

    def part(self, own: tuple[int, int], boxes: Sequence[Sequence[float]]) -> tuple[Region, tuple[int, int]]:
        """Return the region in pixels of the image; of a smaller image all of it."""
        found, size = [], []
        starts = (0, 0) if self.region is None else self.region[:2]
        for start, length, side, whole in zip(starts, self.canvas, own, resized(own, self.sides), strict=True):
            first, last = (round(edge * side / whole) for edge in (start, min(start + length, whole)))
            found.append((first, max(1, last - first)))
            size.append(min(length, whole - start))
        (top, height), (left, width) = found
        return (top, left, height, width), (size[0], size[1])


def box_transform(preprocessing: Preprocessing, augment: str, horizontal_flip: bool) -> nn.Module:
    """Return what the augmentation of that name does to an image and its boxes, ending on the canvas.

    `distortion` of the same name follows.

    Args:
        preprocessing: See `OnCanvas`.
        augment: Its name; those without an entry in `JITTER` draw no scale, as `none`.
        horizontal_flip: Whether a mirrored image is still an example.
    """
    crop = BoxCrop(preprocessing, JITTER.get(augment, JITTER["none"]))
    composed: nn.Module = v2.Compose([crop, *([v2.RandomHorizontalFlip()] if horizontal_flip else [])])
    return composed


def needed_side(preprocessing: Preprocessing, augment: str) -> int:
    """Return the pixels of an image's shorter side beyond which a crop or tile hardly differs.

    Args:
        preprocessing: Sides of resized images.
        augment: Name of the augmentation; `none` for tiles.
    """
    assert preprocessing.sides is not None
    return math.ceil(ENOUGH * preprocessing.sides[0] * JITTER.get(augment, JITTER["none"])[1])


def _start(side: int, length: int, draw: float, around: tuple[float, float] | None) -> int:
    """Return where a part of some length begins along a side.

    Args:
        side: Length of the side.
        length: Length of the part, at most that of the side.
        draw: A random number in [0, 1).
        around: Where an object begins and ends along the side that the part should show; None: anywhere.
    """
    low, high = 0.0, float(side - length)
    if around is not None:
        ends = sorted((around[0], around[1] - length))  # the object lies in the part, or the part in the object
        low, high = (min(max(end, 0.0), float(side - length)) for end in ends)
    return min(max(round(low + (high - low) * draw), 0), side - length)
