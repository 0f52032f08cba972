"""The input that a backbone expects: size, normalisation, interpolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tlx.base.errors import TlxError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


@dataclass(frozen=True)
class Preprocessing:
    """How an image is turned into the input of a backbone.

    The shorter side is resized to `round(size / crop)` pixels, a square of `size` pixels is cut from the centre, and
    values in [0, 1] are normalised as `(value - mean) / std`. For a rectangular input the image is resized so that it
    covers `(height / crop, width / crop)`.

    With `sides`, images keep their aspect instead: each is resized to these sides and put on a canvas of `size`, or
    worked on in parts of `size`, see `tlx.data.augmentation.canvas`.

    Args:
        size: Side of the square input in pixels, or its height and width; equal height and width become one number.
        mean: Mean of each channel, of values in [0, 1].
        std: Standard deviation of each channel, of values in [0, 1].
        interpolation: One of `INTERPOLATIONS`.
        crop: Fraction of the resized image's shorter side that the crop keeps, in (0, 1].
        sides: Shorter side of resized images in pixels, and what the longer one has at most; None: no such resizing.

    Raises:
        TlxError: A value is out of range.
    """

    size: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    crop: float = 1.0
    sides: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        height, width = sides(self.size)
        if min(height, width) < 1:
            raise TlxError(f"preprocessing: expected a size of at least 1 pixel, got {self.size}")
        object.__setattr__(self, "size", height if height == width else (height, width))
        if not self.mean or len(self.mean) != len(self.std):
            raise TlxError(f"preprocessing: expected one mean and std per channel, got {self.mean} and {self.std}")
        if min(self.std) <= 0:
            raise TlxError(f"preprocessing: expected std above 0, got {self.std}")
        if not 0 < self.crop <= 1:
            raise TlxError(f"preprocessing: expected a crop in (0, 1], got {self.crop}")
        if self.interpolation not in INTERPOLATIONS:
            valid = ", ".join(INTERPOLATIONS)
            raise TlxError(f"preprocessing: expected an interpolation ({valid}), got '{self.interpolation}'")
        if self.sides is not None and not 1 <= self.sides[0] <= self.sides[1]:
            raise TlxError(f"preprocessing: expected a shorter and a longer side, got {list(self.sides)}")

    @property
    def height_width(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return sides(self.size)

    @property
    def short_side(self) -> int:
        """The shorter side of the input in pixels."""
        return min(self.height_width)

    def for_channels(self, channels: int) -> Preprocessing:
        """Return the same preprocessing for images with another number of channels.

        The same number: unchanged. One channel: the average over all channels. Fewer: the first ones. More: all,
        followed by their average.
        """
        if channels < 1:
            raise TlxError(f"preprocessing: expected at least 1 channel, got {channels}")
        return replace(self, mean=_resized(self.mean, channels), std=_resized(self.std, channels))

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain types (lists instead of tuples) for JSON and checkpoints; without `sides` if None."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in values.items() if key != "sides" or value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing from a dict of `to_dict`."""
        return cls(
            size=sides(values["size"]),
            mean=tuple(float(v) for v in values["mean"]),
            std=tuple(float(v) for v in values["std"]),
            interpolation=str(values.get("interpolation", "bilinear")),
            crop=float(values.get("crop", 1.0)),
            sides=None if values.get("sides") is None else sides(values["sides"]),
        )


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Return (height, width) from one number for a square, or from both.

    Raises:
        TlxError: A sequence has another length than 2.
    """
    if isinstance(size, int):
        return size, size
    if len(size) != 2:
        raise TlxError(f"preprocessing: expected one side, or a height and a width, got {list(size)}")
    return int(size[0]), int(size[1])


def _resized(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if channels == len(values):
        return values
    average = sum(values) / len(values)
    if channels == 1:
        return (average,)
    return tuple(values[i] if i < len(values) else average for i in range(channels))
