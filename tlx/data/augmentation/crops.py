"""Crops of images together with their masks: random ones for training, tiles for validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tlx.data.augmentation.covering import covering
from tlx.data.ignored import IGNORED
from tlx.data.region import Region

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing


JITTER = (0.5, 2.0)  # of the scale, evenly on a logarithmic axis; usual for segmentation (Chen et al., DeepLab, 2018)
_SOME_CLASS = 0.5  # probability that a crop is drawn around a pixel of some class instead of anywhere
_LOOKED_AT = 1000  # pixels of a mask among which such a pixel is sought
_FIXED_SCALE = ("none", "affine", "characters")  # augmentations that draw no scale; two of them draw one afterwards


class RandomCrop(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Cuts a random part out of an image and its mask and resizes it to the input's size.

    A smaller image is enlarged until it covers the input. Then the scale is drawn. Half of the crops lie around a pixel
    of a class that is drawn with a probability that falls with the root of its area, so that rare classes are seen.
    Where the part reaches beyond the image, the image becomes black and the mask `IGNORED`.

    Args:
        size: Height and width of the result in pixels.
        interpolation: Of images; masks are resized to the nearest pixel.
        scale: Smallest and largest scale.
    """

    def __init__(
        self, size: tuple[int, int], interpolation: v2.InterpolationMode, scale: tuple[float, float] = JITTER
    ) -> None:
        super().__init__()
        self.size, self.interpolation, self.scale = size, interpolation, scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the part in pixels of the image; it may reach beyond the image."""
        own: tuple[int, int] = tuple(F.get_size(flat_inputs[0]))
        larger = covering(own, self.size)
        draw = torch.rand(5).tolist()
        low, high = (math.log(end) for end in self.scale)
        factor = larger[0] / own[0] * math.exp(low + (high - low) * draw[0])
        part = [max(1, round(side / factor)) for side in self.size]
        masks = [item for item in flat_inputs if isinstance(item, tv_tensors.Mask)]
        place = _pixel_of_a_class(masks[0], draw[1]) if masks and draw[2] < _SOME_CLASS else None
        region = [
            _start(side, length, draw[3 + axis], None if place is None else place[axis])
            for axis, (side, length) in enumerate(zip(own, part, strict=True))
        ]
        return {"top": region[0], "left": region[1], "height": part[0], "width": part[1], "own": own}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cut out and resize the image or the mask."""
        starts, lengths = (params["top"], params["left"]), (params["height"], params["width"])
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        inside = [(max(0, start), min(side, end)) for start, end, side in zip(starts, ends, params["own"], strict=True)]
        cut = F.crop(inpt, inside[0][0], inside[1][0], inside[0][1] - inside[0][0], inside[1][1] - inside[1][0])
        before, size, after = [], [], []
        for (low, high), start, length, side in zip(inside, starts, lengths, self.size, strict=True):
            first = round((low - start) * side / length)
            last = max(first + 1, round((high - start) * side / length))
            before.append(first)
            size.append(last - first)
            after.append(side - last)
        resized = F.resize(cut, size, interpolation=self.interpolation, antialias=True)
        if size == list(self.size):
            return resized
        fill = IGNORED if isinstance(inpt, tv_tensors.Mask) else 0
        return F.pad(resized, [before[1], before[0], after[1], after[0]], fill=fill)


class Tile(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Enlarges an image and its mask until they cover the input's size, and cuts out a region of that size.

    Args:
        size: Height and width of the input in pixels.
        interpolation: Of images.
        region: The region, in pixels of the enlarged image; None: none is cut out.
    """

    def __init__(
        self, size: tuple[int, int], interpolation: v2.InterpolationMode, region: Region | None = None
    ) -> None:
        super().__init__()
        self.size, self.interpolation, self.region = size, interpolation, region

    def at(self, region: Region) -> Tile:
        """Return the same for another region."""
        return Tile(self.size, self.interpolation, region)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Enlarge and cut the image or the mask."""
        own: tuple[int, int] = tuple(F.get_size(inpt))
        larger = covering(own, self.size)
        if larger != own:
            inpt = F.resize(inpt, list(larger), interpolation=self.interpolation, antialias=True)
        return inpt if self.region is None else F.crop(inpt, *self.region)


def crop_transform(preprocessing: Preprocessing, augment: str, horizontal_flip: bool) -> nn.Module:
    """Return what the augmentation of that name does to an image and its mask, ending in the input's size.

    `distortion` of the same name follows.

    Args:
        preprocessing: Size and interpolation.
        augment: One of `none`, `light`, `strong`, `affine`, `characters`; the last two and `none` draw no scale.
        horizontal_flip: Whether a mirrored image is still an example.
    """
    scale = (1.0, 1.0) if augment in _FIXED_SCALE else JITTER
    crop = RandomCrop(preprocessing.height_width, v2.InterpolationMode(preprocessing.interpolation), scale)
    composed: nn.Module = v2.Compose([crop, *([v2.RandomHorizontalFlip()] if horizontal_flip else [])])
    return composed


def _start(side: int, length: int, draw: float, around: int | None) -> int:
    """Return where a part of some length begins along a side; negative where the part is longer than the side."""
    if around is None or length >= side:
        return round(draw * (side - length))
    start = round(around - (0.25 + 0.5 * draw) * length)  # the pixel lies in the middle half of the part
    return min(max(start, 0), side - length)


def _pixel_of_a_class(mask: Tensor, draw: float) -> tuple[int, int] | None:
    """Return a pixel of a class, drawn by the root of how rare the class is; None if all pixels are ignored."""
    height, width = mask.shape[-2:]
    places = torch.randint(height * width, (_LOOKED_AT,))
    classes = mask.flatten()[places].long()
    places, classes = places[classes != IGNORED], classes[classes != IGNORED]
    if not len(places):
        return None
    counts = torch.bincount(classes)
    weights = counts.double()[classes].pow(-1.5)  # of a class, together: the root of its share, inverted
    chosen = int(torch.searchsorted(weights.cumsum(0), draw * float(weights.sum())).clamp(max=len(places) - 1))
    return int(places[chosen]) // width, int(places[chosen]) % width
