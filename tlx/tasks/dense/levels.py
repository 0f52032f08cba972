"""Bring the maps of a backbone, of whatever strides, to the strides that a decoder or pyramid expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from tlx.base.errors import TlxError

Missing = Literal["resize", "skip"]


@dataclass(frozen=True)
class Level:
    """One level of a decoder's input.

    Args:
        stride: Pixels of the image per pixel of the level.
        channels: Channels; 0: there is no map of this stride, and the decoder has no skip connection there.
        group: The layer group whose map it is, or is resized from.
    """

    stride: int
    channels: int
    group: str


def is_plain(strides: Mapping[str, int]) -> bool:
    """Return whether all layer groups have one stride, as in a plain vision transformer."""
    return len(strides) > 1 and len(set(strides.values())) == 1


def choose_levels(
    strides: Mapping[str, int], channels: Mapping[str, int], wanted: Sequence[int], missing: Missing
) -> list[Level]:
    """Return a level for each wanted stride: the topmost group with this stride.

    If no group has a wanted stride, the map with the nearest stride is resized to it. If `missing` is `skip`, a level
    below the largest stride has no map instead (0 channels).

    Args:
        strides: Stride of each layer group's map, bottom to top; 0: no map.
        channels: Channels of each layer group's map.
        wanted: Strides, ascending.
        missing: What to do about missing strides.

    Raises:
        TlxError: No group has a map.
    """
    maps = {stride: name for name, stride in strides.items() if stride > 0}  # the topmost of each stride
    if not maps:
        raise TlxError(f"backbone: expected layer groups that give maps, got {', '.join(strides)} without any")
    levels = []
    for stride in wanted:
        if stride in maps:
            levels.append(Level(stride, channels[maps[stride]], maps[stride]))
            continue
        near = min(maps, key=lambda have: (abs(have.bit_length() - stride.bit_length()), have))
        skipped = missing == "skip" and stride < max(maps)
        levels.append(Level(stride, 0 if skipped else channels[maps[near]], maps[near]))
    return levels


def levelled(maps: Mapping[str, Tensor], levels: Sequence[Level], size: tuple[int, int]) -> list[Tensor]:
    """Return a map for each level (B, channels, ceil(H / stride), ceil(W / stride)).

    Args:
        maps: Map of each layer group (B, C, H', W').
        levels: The levels.
        size: Height and width of the image (H, W) in pixels.
    """
    found = []
    for level in levels:
        source = maps[level.group]
        height, width = (-(-side // level.stride) for side in size)
        if not level.channels:
            found.append(source.new_empty(source.shape[0], 0, height, width))
        elif source.shape[-2:] == (height, width):
            found.append(source)
        elif source.shape[-2] > height:
            found.append(F.adaptive_max_pool2d(source, (height, width)))
        else:
            found.append(F.interpolate(source, size=(height, width), mode="nearest"))
    return found


class SimplePyramid(nn.Module):
    """Maps of several sizes from the last map of a network whose groups all have one stride.

    Li et al., ViTDet (2022), figure 2. A map of stride 16 gives maps of the strides 4, 8, 16 and 32; the map of a
    network with another stride is enlarged and reduced by the same factors.

    Args:
        channels: Channels of the map.
        width: Channels of the maps of the pyramid.
        strides: The strides that are needed, a choice of `STRIDES`.
    """

    STRIDES = (4, 8, 16, 32)

    def __init__(self, channels: int, width: int, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        half, low = max(channels // 2, 8), max(channels // 4, 8)
        up = nn.ConvTranspose2d
        bodies: dict[int, list[nn.Module]] = {
            4: [up(channels, half, 2, 2), _norm(half), nn.GELU(), up(half, low, 2, 2), nn.Conv2d(low, width, 1)],
            8: [up(channels, half, 2, 2), nn.Conv2d(half, width, 1)],
            16: [nn.Conv2d(channels, width, 1)],
            32: [nn.MaxPool2d(2), nn.Conv2d(channels, width, 1)],
        }
        self.strides = tuple(strides)
        self.branches = nn.ModuleList(nn.Sequential(*bodies[stride], *_smoothing(width)) for stride in strides)

    def forward(self, source: Tensor) -> dict[int, Tensor]:
        """Return a map (B, width, …) for each stride from a map (B, channels, H', W')."""
        return {stride: branch(source) for stride, branch in zip(self.strides, self.branches, strict=True)}


def _smoothing(width: int) -> list[nn.Module]:
    return [_norm(width), nn.Conv2d(width, width, 3, padding=1), _norm(width)]


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels)  # over channels and places: it depends on no other image of the batch
