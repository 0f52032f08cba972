"""Detect objects in an image of any size: at once if the resized image is about as large as the canvas, or in tiles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from tlx.backbones.preprocessing import Preprocessing
from tlx.data.augmentation.canvas import is_whole, resized
from tlx.data.box_labels import BOTTOM, CLASS, LEFT, RIGHT, TOP
from tlx.tasks.dense.tiling import placed_tiles
from tlx.tasks.detection.decoding import best

_TOUCHES = 2.0  # pixels: a box this close to a border of a tile may be cut by it
_AT_ONCE = 8  # tiles
PAIRS_AT_ONCE = 2**22  # of boxes and tiles: a dozen numbers of each are in memory together

Detect = Callable[[Tensor], Tensor]  # uint8 (B, C, h, w) -> detections (B, D, 6) in its pixels


def found_in(detect: Detect, image: Tensor, how: Preprocessing, *, fixed: bool, most: int, overlap: float) -> Tensor:
    """Return the detections (most, 6) of an image, in its own pixels, the highest score first.

    Args:
        detect: The network.
        image: uint8 (C, H, W).
        how: Size of the canvas, and the sides that images are resized to; without sides, they fit the canvas.
        fixed: Whether the network takes no other size than that of the canvas.
        most: Detections at most.
        overlap: Intersection over union above which the lower of two boxes of a class is left out.
    """
    own, canvas = (image.shape[-2], image.shape[-1]), how.height_width
    size = resized(own, how.sides or (min(canvas), max(canvas)))
    if size != own:
        image = resize(image, list(size), interpolation=InterpolationMode(how.interpolation), antialias=True)
    if is_whole(size, canvas) and not fixed:
        found = detect(image[None])[0]
    else:
        found = _in_tiles(detect, image, canvas, how, most, overlap)
    by = found.new_tensor([own[1] / size[1], own[0] / size[0]] * 2)
    return torch.cat([found[:, :4] * by, found[:, 4:]], dim=1)


def _in_tiles(
    detect: Detect, image: Tensor, tile: tuple[int, int], how: Preprocessing, most: int, overlap: float
) -> Tensor:
    """Return the detections (most, 6) of a resized image (C, H, W), in its pixels; `tile` is a height and a width."""
    size = (image.shape[-2], image.shape[-1])
    if size[0] < tile[0] or size[1] < tile[1]:
        image = _padded(image, (max(size[0], tile[0]), max(size[1], tile[1])), how)
    places = placed_tiles((image.shape[-2], image.shape[-1]), tile)
    rows, owners = [], []
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        tiles = torch.stack([image[:, top : top + tile[0], left : left + tile[1]] for top, left in some])
        found = detect(tiles)
        shifts = torch.tensor([[left, top] * 2 for top, left in some], device=found.device)
        moved = torch.cat([found[..., :4] + shifts[:, None], found[..., 4:]], dim=-1)
        number, row = (found[..., CLASS] >= 0).nonzero(as_tuple=True)
        rows.append(moved[number, row])
        owners.append(number + start)
    boxes, owner = torch.cat(rows), torch.cat(owners)
    boxes = boxes[~_whole_elsewhere(boxes, owner, torch.tensor(places, device=boxes.device), tile, size)]
    ends = boxes.new_tensor([size[1], size[0]] * 2)
    boxes = torch.cat([torch.minimum(boxes[:, :4], ends), boxes[:, 4:]], dim=1)
    boxes = boxes[(boxes[:, RIGHT] > boxes[:, LEFT]) & (boxes[:, BOTTOM] > boxes[:, TOP])]
    return best(boxes, torch.zeros_like(boxes[:, 0], dtype=torch.long), 1, most, overlap)[0]


def _whole_elsewhere(
    boxes: Tensor, owner: Tensor, places: Tensor, tile: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Return which boxes (n, 4 or more) an inner border of their tile cuts while another tile shows them whole (n,).

    Args:
        boxes: Boxes in pixels of the image.
        owner: The tile of each (n,).
        places: Top and left of the tiles (T, 2).
        tile: Height and width of a tile.
        size: Height and width of the image; its edges cut nothing.
    """
    if len(places) == 1:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    starts = places.flip(1).to(boxes.dtype)  # x, y
    ends = starts + starts.new_tensor([tile[1], tile[0]])
    limit = starts.new_tensor([size[1], size[0]])
    at_once = max(1, PAIRS_AT_ONCE // len(places))
    elsewhere = []
    for some, own in zip(boxes.split(at_once), owner.split(at_once), strict=True):
        # How far each box lies inside each tile, at each of its edges; infinitely where the tile ends with the image.
        before = torch.where(starts > 0, some[:, None, :2] - starts, torch.inf)
        after = torch.where(ends < limit, ends - some[:, None, 2:4], torch.inf)
        margin = torch.cat([before, after], dim=-1).amin(-1)  # (n, T)
        cut = margin.gather(1, own[:, None])[:, 0] < _TOUCHES
        elsewhere.append(cut & (margin >= _TOUCHES).any(1))
    return torch.cat(elsewhere)


def _padded(image: Tensor, size: tuple[int, int], how: Preprocessing) -> Tensor:
    """Return an image (C, h, w) at the top left of (C, H, W), the rest in the mean colour."""
    colour = image.new_tensor([round(255 * mean) for mean in how.mean]).view(-1, 1, 1)
    whole = colour.expand(-1, *size).clone()
    whole[:, : image.shape[-2], : image.shape[-1]] = image
    return whole
