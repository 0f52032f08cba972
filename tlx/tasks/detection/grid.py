"""The locations of a pyramid's levels, in pixels of the padded image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Grid(NamedTuple):
    """The P locations of all levels, those of the finest level first, each level row by row.

    Attributes:
        centres: Pixels (P, 2): x, y.
        strides: Pixels between neighbouring locations (P,).
        level: Number of the level (P,), int64.
        counts: Locations of each level.
        size: Height and width of the padded image.
    """

    centres: Tensor
    strides: Tensor
    level: Tensor
    counts: list[int]
    size: tuple[int, int]


def locations(maps: Sequence[Tensor], strides: Sequence[int], size: tuple[int, int], whole: int) -> Grid:
    """Return the locations of some maps.

    Args:
        maps: A map (B, C, h, w) for each level.
        strides: Pixels of the image between locations of each level.
        size: Height and width of the padded image.
        whole: A multiple of it are the height and width that the maps cover: the image is stretched to these where they
            differ, in networks whose stride is no power of two.
    """
    device = maps[0].device
    stretched = [side / (-(-side // whole) * whole) for side in size]
    centres = []
    for one, stride in zip(maps, strides, strict=True):
        y, x = (
            (torch.arange(length, device=device) + 0.5) * (stride * by)
            for length, by in zip(one.shape[-2:], stretched, strict=True)
        )
        centres.append(torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], dim=-1).flatten(0, 1))
    stride_of = [one.new_full((len(one),), stride) for one, stride in zip(centres, strides, strict=True)]
    level_of = [torch.full((len(one),), number, device=device) for number, one in enumerate(centres)]
    counts = [len(one) for one in centres]
    return Grid(torch.cat(centres), torch.cat(stride_of), torch.cat(level_of), counts, size)
