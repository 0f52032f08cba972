"""Transforms from an image of any size to the network's input size, for evaluation and for training.

All of them map uint8 tensors (C, H, W) to uint8 tensors and draw from torch's CPU generator.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tlx.base.errors import TlxError, did_you_mean
from tlx.data.augmentation.distortion import Distortion, Jitter

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing

AUGMENTATIONS = ("none", "light", "strong", "affine", "characters", "trivial")
_AFFINE = Distortion(degrees=15, shift=0.1, shear=10, zoom=(0.7, 1.3), beyond="background")
_WHOLE = ("none", "affine", "characters")  # without random crops
_DISTORTIONS = {
    "strong": Distortion(degrees=15, shift=0.1, shear=5, jitter=Jitter(), erase=0.25),
    "affine": _AFFINE,
    "characters": replace(_AFFINE, jitter=Jitter(saturation=0.0, hue=0.0), invert=0.5),
}
ENOUGH = 2.0  # times the resolution that a transform needs; benchmarks/decoding.py measures smaller factors
_ASPECT = (3 / 4, 4 / 3)  # width / height of a random crop, relative to that of the input


def eval_transform(preprocessing: Preprocessing) -> nn.Module:
    """Resize the image to cover round(size / crop), then crop the input's size from the centre."""
    return _in_turn([_resize(preprocessing), v2.CenterCrop(preprocessing.size)])


def _resize(preprocessing: Preprocessing) -> nn.Module:
    interpolation, (height, width) = v2.InterpolationMode(preprocessing.interpolation), _resized(preprocessing)
    if height == width:
        square: nn.Module = v2.Resize(height, interpolation, antialias=True)  # the shorter side of the image
        return square
    return Cover(height, width, interpolation)


class Cover(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Resizes an image and its labels to the smallest size that covers a rectangle, keeping the aspect ratio.

    Args:
        height: Height of the rectangle in pixels.
        width: Width of the rectangle in pixels.
        interpolation: Interpolation of images; masks use the nearest pixel.
    """

    def __init__(self, height: int, width: int, interpolation: v2.InterpolationMode) -> None:
        super().__init__()
        self.height, self.width, self.interpolation = height, width, interpolation

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Return the size of the resized image (height, width)."""
        height, width = F.get_size(flat_inputs[0])
        scale = max(self.height / height, self.width / width)
        return {"size": [max(self.height, round(scale * height)), max(self.width, round(scale * width))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize an image or a label."""
        return F.resize(inpt, params["size"], interpolation=self.interpolation, antialias=True)


def needed_side(preprocessing: Preprocessing, augment: str) -> int:
    """Return the shorter side, in pixels, beyond which an image gains almost nothing under this augmentation.

    Without random crops it is twice the size to which images are resized. Otherwise the smallest random crop (lowest
    area and aspect, from a square image) has twice the size of the input.
    """
    side: float = max(_resized(preprocessing))
    if augment not in _WHOLE:
        height, width = preprocessing.height_width
        side = math.sqrt(height * width) / math.sqrt(_least_area(augment) * _ASPECT[0])
    return math.ceil(ENOUGH * side)


def train_transform(preprocessing: Preprocessing, augment: str, horizontal_flip: bool) -> nn.Module:
    """Return the part of an augmentation that is applied to single images; the result has the input's size.

    - `none`: as for evaluation.
    - `light`: a random crop (half to all of the area), resized; flip.
    - `strong`: a random crop (a quarter to all of the area), resized; flip; then colours, geometry and erasing.
    - `affine`: as for evaluation; flip; then rotation, shift, shear and size.
    - `characters`: as `affine`, with brightness, contrast and inversion.
    - `trivial`: a random crop (half to all of the area), resized; flip; TrivialAugmentWide (Mueller and Hutter 2021):
      one operation of random strength. Only for images of 1 or 3 channels.

    The steps after "then" are those of `distortion`, which are applied to whole batches.

    Args:
        preprocessing: Size and interpolation.
        augment: One of `none`, `light`, `strong`, `affine`, `characters`, `trivial`.
        horizontal_flip: Whether a mirrored image is still an example of its class.

    Raises:
        TlxError: There is no augmentation of that name.
    """
    if augment not in AUGMENTATIONS:
        hint = did_you_mean(augment, AUGMENTATIONS)
        raise TlxError(
            f"dataset.augment: expected one of {', '.join(AUGMENTATIONS)}, got '{augment}'; {hint}".rstrip("; ")
        )
    if augment == "none":
        return eval_transform(preprocessing)
    flip: list[nn.Module] = [v2.RandomHorizontalFlip()] if horizontal_flip else []
    if augment in _WHOLE:
        return _in_turn([eval_transform(preprocessing), *flip])
    height, width = preprocessing.height_width
    crop = v2.RandomResizedCrop(
        preprocessing.size,
        scale=(_least_area(augment), 1.0),
        ratio=[width / height * ratio for ratio in _ASPECT],
        interpolation=v2.InterpolationMode(preprocessing.interpolation),
        antialias=True,
    )
    steps: list[nn.Module] = [crop, *flip]
    if augment == "trivial":
        steps.append(v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR))
    return _in_turn(steps)


def _in_turn(steps: list[nn.Module]) -> nn.Module:
    composed: nn.Module = v2.Compose(steps)
    return composed


def draws_nothing(augment: str, horizontal_flip: bool) -> bool:
    """Return whether `train_transform` uses no random numbers."""
    return augment in _WHOLE and not horizontal_flip


def distortion(augment: str) -> Distortion | None:
    """Return the part of an augmentation that is applied to whole batches after `train_transform`; None if none."""
    return _DISTORTIONS.get(augment)


def _resized(preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the height and width that the resized image covers before the centre crop."""
    height, width = (round(side / preprocessing.crop) for side in preprocessing.height_width)
    return height, width


def _least_area(augment: str) -> float:
    """Return the smallest area of a random crop, as a fraction of the image."""
    return 0.25 if augment == "strong" else 0.5
