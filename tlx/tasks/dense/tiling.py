"""Run a network over images of any size in overlapping tiles, in bands, with little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import resize

from tlx.base.tile_offsets import tile_offsets
from tlx.data.augmentation.covering import covering

OVERLAP = 0.25  # of a tile's side, at least; the edges of a tile know least about their surroundings
_LEAST = 0.05  # weight of a tile's outermost pixels, so that pixels that only one tile covers have a weight

Place = tuple[int, int]  # top and left in pixels
Scores = Callable[[Tensor], Tensor]  # tiles uint8 (B, C, h, w) -> class scores (B, K, h, w)


def placed_tiles(size: tuple[int, int], tile: tuple[int, int]) -> list[Place]:
    """Return the places of overlapping tiles that cover an image, row by row.

    Args:
        size: Height and width of the image in pixels, at least those of a tile.
        tile: Height and width of a tile.
    """
    tops, lefts = _offsets(size, tile)
    return [(top, left) for top in tops for left in lefts]


def enlarged(image: Tensor, least: tuple[int, int]) -> Tensor:
    """Return an image, uint8 (C, H, W), enlarged so that it covers a height and width; a larger one is unchanged."""
    own = (image.shape[-2], image.shape[-1])
    size = covering(own, least)
    return image if size == own else resize(image, list(size), antialias=True)


def class_map(scores: Scores, image: Tensor, tile: tuple[int, int], at_once: int) -> Tensor:
    """Return the class of each pixel of an image of any size.

    A smaller image is enlarged until it covers a tile. Probabilities of overlapping tiles are blended, weighted towards
    the middle of each tile.

    Args:
        scores: The network.
        image: uint8 (C, H, W), on its device.
        tile: Height and width of a tile in pixels.
        at_once: Tiles that go through the network together.

    Returns:
        uint8 (H, W), on the CPU.
    """
    size = (image.shape[-2], image.shape[-1])
    larger = enlarged(image, tile)
    if larger is not image:  # the probabilities are reduced to the image's own size before a class is chosen
        bands = [band.clone() for band in _bands(scores, larger, tile, at_once)]
        probabilities = F.interpolate(torch.cat(bands, dim=1)[None], size=size, mode="bilinear", align_corners=False)
        return probabilities[0].argmax(0).to(torch.uint8).cpu()
    chosen, top = torch.empty(size, dtype=torch.uint8), 0
    for band in _bands(scores, image, tile, at_once):
        chosen[top : top + band.shape[1]] = band.argmax(0)
        top += band.shape[1]
    return chosen


def _bands(scores: Scores, image: Tensor, tile: tuple[int, int], at_once: int) -> Iterator[Tensor]:
    """Yield probabilities (K, lines, W) from top to bottom; each band is as high as the step between tiles.

    The next band is written over one that was yielded.
    """
    height, width = tile
    tops, lefts = _offsets((image.shape[-2], image.shape[-1]), tile)
    window = _window(tile, image.device)
    total: Tensor | None = None  # weighted sums of probabilities, of the lines of one row of tiles
    for number, top in enumerate(tops):
        for start in range(0, len(lefts), at_once):
            some = lefts[start : start + at_once]
            tiles = torch.stack([image[:, top : top + height, left : left + width] for left in some])
            weighted = scores(tiles).float().softmax(1) * window
            if total is None:
                total = weighted.new_zeros(weighted.shape[1], height, image.shape[-1])
            for left, part in zip(some, weighted, strict=True):
                total[:, :, left : left + width] += part
        assert total is not None
        done = (tops[number + 1] if number + 1 < len(tops) else top + height) - top
        yield total[:, :done].div_(total[:, :done].sum(0, keepdim=True))
        below = total[:, done:].clone()
        total.zero_()[:, : below.shape[1]] = below


def _window(tile: tuple[int, int], device: torch.device) -> Tensor:
    """Return the weights (h, w) of a tile's pixels: 1 in the middle, falling linearly to its edges."""
    sides = []
    for side in tile:
        distance = torch.arange(side, device=device, dtype=torch.float32) + 0.5
        sides.append((torch.minimum(distance, side - distance) / (side / 2)).clamp(min=_LEAST))
    return sides[0][:, None] * sides[1][None, :]


def _offsets(size: tuple[int, int], tile: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Return the tops and the lefts of overlapping tiles."""
    tops, lefts = (tile_offsets(side, length, OVERLAP) for side, length in zip(size, tile, strict=True))
    return tops, lefts
