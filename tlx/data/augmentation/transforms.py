"""From an image of any size to the network's input size: for evaluation, and with augmentation for training.

Everything works on uint8 tensors (C, H, W) and keeps them uint8; all randomness is drawn from torch's CPU generator.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tlx.base.errors import TlxError, did_you_mean
from tlx.data.augmentation.distortion import Distortion, Jitter
from tlx.data.region import Region

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing

AUGMENTATIONS = ("none", "light", "strong", "affine", "characters", "trivial")
_AFFINE = Distortion(degrees=15, shift=0.1, shear=10, zoom=(0.7, 1.3), beyond="background")
_WHOLE = ("none", "affine", "characters")  # they cut nothing off before
_DISTORTIONS = {
    "strong": Distortion(degrees=15, shift=0.1, shear=5, jitter=Jitter(), erase=0.25),
    "affine": _AFFINE,
    "characters": replace(_AFFINE, jitter=Jitter(saturation=0.0, hue=0.0), invert=0.5),
}
ENOUGH = 2.0  # times the resolution that a transform needs; benchmarks/decoding.py measures what less would change
_ASPECT = (3 / 4, 4 / 3)  # width to height of a random part, in times that of the input


def eval_transform(preprocessing: Preprocessing) -> nn.Module:
    """Resize the image until it covers round(size / crop), then cut the input's size from the centre."""
    return _in_turn([_resize(preprocessing), v2.CenterCrop(preprocessing.size)])


def _resize(preprocessing: Preprocessing) -> nn.Module:
    interpolation, (height, width) = v2.InterpolationMode(preprocessing.interpolation), _resized(preprocessing)
    if height == width:
        square: nn.Module = v2.Resize(height, interpolation, antialias=True)  # the shorter side of the image
        return square
    return Cover(height, width, interpolation)


class Cover(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Resizes an image, and what moves with it, to the smallest size that covers a rectangle; the aspect is kept.

    Args:
        height: Of the rectangle, in pixels.
        width: Likewise.
        interpolation: Of images; masks are resized to the nearest pixel.
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
        """Resize one of them."""
        return F.resize(inpt, params["size"], interpolation=self.interpolation, antialias=True)


class OfRegion(nn.Module):
    """Cuts a region out of an image before a transform.

    Args:
        transform: From an image (C, H, W) to an input.
        region: Top, left, height and width in pixels; what is beyond the right and bottom edges is left out.
    """

    def __init__(self, transform: nn.Module, region: Region = (0, 0, 1, 1)) -> None:
        super().__init__()
        self.transform, self.region = transform, region

    def at(self, region: Region) -> OfRegion:
        """Return the same for another region."""
        return OfRegion(self.transform, region)

    def forward(self, image: Tensor) -> Tensor:
        """Return the input (C, h, w) of a region of an image (C, H, W)."""
        top, left, height, width = self.region
        result: Tensor = self.transform(image[:, top : top + height, left : left + width])
        return result


def needed_side(preprocessing: Preprocessing, augment: str) -> int:
    """Pixels of an image's shorter side beyond which the transform of that name sees next to nothing more.

    Twice what is resized to, in evaluation; with augmentation, as many as let the smallest random part that can be
    drawn (area and aspect at their lowest, from a square image) have twice the size of the input.
    """
    side: float = max(_resized(preprocessing))
    if augment not in _WHOLE:
        height, width = preprocessing.height_width
        side = math.sqrt(height * width) / math.sqrt(_least_area(augment) * _ASPECT[0])
    return math.ceil(ENOUGH * side)


def train_transform(preprocessing: Preprocessing, augment: str, horizontal_flip: bool) -> nn.Module:
    """Return what the augmentation of that name does to one image, ending in the input's size.

    - `none`: as for evaluation.
    - `light`: a random part (half to all of the area) resized; flip.
    - `strong`: a random part (a quarter to all); flip; then, see `distortion`, colours, geometry and erasing.
    - `affine`: as for evaluation; flip; then, see `distortion`, rotation, shift, shear and size.
    - `characters`: as `affine`, and brightness, contrast and whether dark or bright is the ink.
    - `trivial`: a random part (half to all); flip; TrivialAugmentWide (Mueller and Hutter 2021): one operation of
      random strength. For images of 1 or 3 channels.

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
    """Return whether `train_transform` gives the same for an image each time."""
    return augment in _WHOLE and not horizontal_flip


def distortion(augment: str) -> Distortion | None:
    """Return what the augmentation of that name does after `train_transform`, to whole batches; None: nothing."""
    return _DISTORTIONS.get(augment)


def _resized(preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width that the image covers before the centre is cut out."""
    height, width = (round(side / preprocessing.crop) for side in preprocessing.height_width)
    return height, width


def _least_area(augment: str) -> float:
    """Part of the image that a random part covers at least."""
    return 0.25 if augment == "strong" else 0.5
