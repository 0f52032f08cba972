"""Cut images into tiles and pool the features of the tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tlx.base.errors import TlxError
from tlx.base.tile_offsets import tile_offsets


@dataclass(frozen=True)
class Tiles:
    """Square tiles that cover an image evenly, and the pool of their features.

    Args:
        size: Side of a tile in pixels.
        overlap: Minimum overlap of neighbouring tiles, as a fraction of their side, in [0, 1).
        pool: `mean` or `max` over the tiles of an image, for each feature.
        at_once: Number of tiles in one forward pass. It bounds the memory for any size of image and batch.
    """

    size: int
    overlap: float = 0.0
    pool: Literal["mean", "max"] = "mean"
    at_once: int = 32

    def offsets(self, side: int) -> list[int]:
        """Return the positions where tiles begin along a side of `side` pixels; the last tile ends at its end.

        Raises:
            TlxError: The side is smaller than a tile.
        """
        if side < self.size:
            raise TlxError(
                f"task.tile_size: expected at most the side of the image, {side} pixels, got {self.size}; "
                f"set dataset.image_size={self.size} or larger"
            )
        return tile_offsets(side, self.size, self.overlap)

    def cut(self, image: Tensor) -> Tensor:
        """Return the tiles (B, T, C, size, size) of images (B, C, H, W), row by row."""
        rows, columns = (self.offsets(side) for side in image.shape[-2:])
        cut = [image[..., y : y + self.size, x : x + self.size] for y in rows for x in columns]
        return torch.stack(cut, dim=1)

    def run(self, network: Callable[[Tensor], list[Tensor]], tiles: Tensor) -> list[Tensor]:
        """Run a network on tiles (B, T, …), `at_once` at a time, and return each of its outputs (B, T, …).

        If gradients are enabled, only the inputs are stored; the backward pass recomputes the activations.
        """
        parts = tiles.flatten(0, 1).split(self.at_once)
        recompute = torch.is_grad_enabled() and len(parts) > 1
        results = [_checkpointed(network, part) if recompute else network(part) for part in parts]
        return [torch.cat(output).unflatten(0, tiles.shape[:2]) for output in zip(*results, strict=True)]

    def pooled(self, features: Tensor) -> Tensor:
        """Return the features of images (B, F) from the features of their tiles (B, T, F)."""
        return features.amax(dim=1) if self.pool == "max" else features.mean(dim=1)


def _checkpointed(network: Callable[[Tensor], list[Tensor]], part: Tensor) -> list[Tensor]:
    result: list[Tensor] = checkpoint(network, part, use_reentrant=False)
    return result
