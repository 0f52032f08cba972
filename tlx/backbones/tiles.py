"""Images that are larger than a network takes: cut into tiles, whose features are pooled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tlx.base.errors import TlxError


@dataclass(frozen=True)
class Tiles:
    """Square tiles that cover an image evenly, and what is made of their features.

    Args:
        size: Side of a tile in pixels.
        overlap: Least part of a tile's side that the next one shows as well, in [0, 1).
        pool: What becomes of the features of an image's tiles: their `mean`, or the `max` of each.
        at_once: Tiles that go through the network together: it bounds the memory, whatever the size of image and batch.
    """

    size: int
    overlap: float = 0.0
    pool: Literal["mean", "max"] = "mean"
    at_once: int = 32

    def places(self, side: int) -> list[int]:
        """Return where tiles begin along a side of so many pixels: the first at 0, the last at its end.

        Raises:
            TlxError: The side is smaller than a tile.
        """
        if side < self.size:
            raise TlxError(
                f"task.tile_size: expected at most the side of the image, {side} pixels, got {self.size}; "
                f"set dataset.image_size={self.size} or larger"
            )
        step = max(1.0, self.size * (1 - self.overlap))
        count = math.ceil((side - self.size) / step) + 1
        return [round(k * (side - self.size) / max(count - 1, 1)) for k in range(count)]

    def cut(self, image: Tensor) -> Tensor:
        """Return the tiles of images (B, C, H, W), row by row: (B, T, C, size, size)."""
        rows, columns = (self.places(side) for side in image.shape[-2:])
        cut = [image[..., y : y + self.size, x : x + self.size] for y in rows for x in columns]
        return torch.stack(cut, dim=1)

    def run(self, network: Callable[[Tensor], list[Tensor]], tiles: Tensor) -> list[Tensor]:
        """Run a network over tiles (B, T, …) a few at a time; return each of its outputs for all of them (B, T, …).

        For a gradient only what goes in is kept; the rest is computed once more on the way back.
        """
        parts = tiles.flatten(0, 1).split(self.at_once)
        again = torch.is_grad_enabled() and len(parts) > 1
        done = [_again(network, part) if again else network(part) for part in parts]
        return [torch.cat(output).unflatten(0, tiles.shape[:2]) for output in zip(*done, strict=True)]

    def pooled(self, features: Tensor) -> Tensor:
        """Return the features of images (B, F) from those of their tiles (B, T, F)."""
        return features.amax(dim=1) if self.pool == "max" else features.mean(dim=1)


def _again(network: Callable[[Tensor], list[Tensor]], part: Tensor) -> list[Tensor]:
    result: list[Tensor] = checkpoint(network, part, use_reentrant=False)
    return result
