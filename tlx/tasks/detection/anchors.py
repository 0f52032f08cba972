"""Anchors: boxes at each location, to which a model refers when it predicts boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from tlx.data.box_labels import CLASS
from tlx.tasks.detection.box_levels import BoxLevels
from tlx.tasks.detection.grid import Grid
from tlx.tasks.detection.head import ignored, objects
from tlx.tasks.detection.losses import overlaps

_MOSTLY = 0.5  # of its area: an anchor that lies in an ignored box by more than that is not background


def cells(levels: BoxLevels) -> Tensor:
    """Return the widths and heights of the anchors at a location of each level (L, A, 2), in pixels."""
    return torch.tensor(levels.anchors)


def anchors_of(grid: Grid, cells: Tensor) -> Tensor:
    """Return the anchors of all locations (P * A, 4), those of a location together.

    Args:
        grid: The locations.
        cells: Widths and heights (L, A, 2).
    """
    half = cells[grid.level] / 2  # (P, A, 2)
    centres = grid.centres[:, None]
    return torch.cat([centres - half, centres + half], dim=-1).flatten(0, 1)


def assigned(boxes: Tensor, target: Tensor, low: float, high: float, every_object: bool) -> tuple[Tensor, Tensor]:
    """Return the object that each box stands for (B, P), and which boxes count (B, P).

    An index of -1 is background. Boxes between the thresholds do not count, nor do those that are background but mostly
    in an ignored box.

    Args:
        boxes: Anchors (P, 4) or proposals (B, P, 4).
        target: The boxes of the images (B, N, 6).
        low: Intersection over union below which a box is background.
        high: That from which it stands for an object.
        every_object: Whether the best box for an object stands for it even if it overlaps less.
    """
    # One image after another: the overlaps of all at once would be the largest tensor of a step.
    each = [
        _assigned(boxes if boxes.ndim == 2 else boxes[i : i + 1], target[i : i + 1], low, high, every_object)
        for i in range(len(target))
    ]
    found, counts = zip(*each, strict=True)
    return torch.cat(found), torch.cat(counts)


def _assigned(boxes: Tensor, target: Tensor, low: float, high: float, every_object: bool) -> tuple[Tensor, Tensor]:
    """Return the same for one image: B is 1 for `boxes` (P, 4) or (1, P, 4) and `target` (1, N, 6)."""
    share, within = overlaps(boxes, target[..., :4])
    real = objects(target)[:, None]
    in_ignored = ((within > _MOSTLY) & ignored(target)[:, None]).any(-1)
    share = share.masked_fill(~real, -1.0)
    best, found = share.max(-1)
    stands = best >= high
    if every_object:
        best_of_object = share.amax(1, keepdim=True)
        stands = stands | ((share == best_of_object) & (share > 0)).any(-1)
    counts = stands | ((best < low) & ~in_ignored)
    return found.masked_fill(~stands, -1), counts


def classes_of(found: Tensor, target: Tensor) -> Tensor:
    """Return the class (B, P), int64, of the objects (B, N, 6) at the locations `found` (B, P); -1 for background."""
    classes = target[..., CLASS].long().gather(1, found.clamp(min=0))
    return classes.masked_fill(found < 0, -1)
