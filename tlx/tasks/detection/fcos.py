"""FCOS (Tian et al., 2020): each location predicts a class and the distances to the edges of a box around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.fcos import FCOSHead

from tlx.data.box_labels import CLASS
from tlx.tasks.detection.box_levels import BoxLevels
from tlx.tasks.detection.grid import Grid
from tlx.tasks.detection.head import Candidates, DetectionHead, Features, Output, ignored, objects, picked
from tlx.tasks.detection.losses import area, focal, giou

_SHARED = 1.2  # times the limit of a level: up to there two levels find a box, because neither size is typical
PAIRS_AT_ONCE = 2**23  # of locations and boxes: a dozen numbers of each are in memory together
_RADIUS = 1.5  # strides, either way: locations this close to the centre of a box find it


class Fcos(DetectionHead):
    """torchvision's FCOS head, for boxes whose level follows the training boxes.

    Args:
        channels: Channels of the maps.
        classes: Number of classes K.
        convs: Convolutions in each of its branches.
        levels: Which level finds which box.
    """

    overlap = 0.6

    def __init__(self, channels: int, classes: int, convs: int, levels: BoxLevels) -> None:
        super().__init__()
        self.network = FCOSHead(channels, 1, classes, convs)
        # Distances begin near those of the training boxes. From 0, ReLU would hide half of the locations from the loss.
        nn.init.constant_(self.network.regression_head.bbox_reg.bias, levels.reach)
        self.register_buffer("limits", torch.tensor(levels.limits, dtype=torch.float32))
        self.limits: Tensor

    def forward(self, features: Features) -> Output:
        """Return class logits (B, P, K), distances (B, P, 4) in strides, and centredness (B, P, 1), before sigmoid."""
        return Output(self.network(features.maps), features.grid)

    def sums(self, output: Output, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of focal, GIoU and centredness loss (1,), and the number of locations with an object (1,).

        Args:
            output: The head's output.
            target: The boxes of the images (B, N, 6).
        """
        rows, grid = output.rows, output.grid
        found, counts = matched(grid, target, self.limits)
        positive = found >= 0
        truth = picked(target, found.clamp(min=0))
        classes = torch.where(positive, truth[..., CLASS].long(), -1)
        loss = focal(rows["cls_logits"].float(), classes, counts).sum()
        # Places without an object get a box that fits, so that no infinite value is multiplied by 0.
        half = grid.strides[:, None]
        fitting = torch.cat([grid.centres - half, grid.centres + half], dim=1)
        edges = torch.where(positive[..., None], truth[..., :4], fitting)
        loss = loss + (giou(self._boxes(rows["bbox_regression"], grid), edges) * positive).sum()
        central = F.binary_cross_entropy_with_logits(
            rows["bbox_ctrness"].float().squeeze(-1), centredness(grid.centres, edges), reduction="none"
        )
        loss = loss + (central * positive).sum()
        return loss[None], positive.sum()[None].to(loss)

    def candidates(self, output: Output, most: int) -> Candidates:
        """Return at most `most` candidates of each image (B, M), whose scores are sqrt(class x centredness)."""
        rows, grid = output.rows, output.grid
        scores = (rows["cls_logits"].float().sigmoid() * rows["bbox_ctrness"].float().sigmoid()).sqrt()
        classes = scores.shape[-1]
        best, index = scores.flatten(1).topk(min(most, scores.shape[1] * classes), dim=1)
        boxes = picked(self._boxes(rows["bbox_regression"], grid), index // classes)
        return Candidates(boxes, best, index % classes)

    def _boxes(self, distances: Tensor, grid: Grid) -> Tensor:
        """Return boxes (B, P, 4) from distances in strides (B, P, 4)."""
        distances = distances.float() * grid.strides[:, None]
        return torch.cat([grid.centres - distances[..., :2], grid.centres + distances[..., 2:]], dim=-1)


def matched(grid: Grid, target: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the box that each location finds (B, P), -1 for none, and which locations count as something (B, P).

    A location finds the smallest box of its level in which it lies near the centre. A box without such a location gets
    the one nearest to its centre, of the level nearest to its own, among those inside it.

    Args:
        grid: The locations.
        target: The boxes (B, N, 6).
        limits: Sizes at which a level ends and the next begins.
    """
    # A few images at once: all pairs of many locations and many boxes would not fit into memory.
    at_once = max(1, PAIRS_AT_ONCE // (len(grid.centres) * target.shape[1]))
    each = [_matched(grid, some, limits) for some in target.split(at_once)]
    found, counts = zip(*each, strict=True)
    return torch.cat(found), torch.cat(counts)


def _matched(grid: Grid, target: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same for a few images, of which all pairs (B, P, N) are in memory."""
    x, y = grid.centres[:, 0, None], grid.centres[:, 1, None]
    left, top, right, bottom = (target[:, None, :, edge] for edge in range(4))
    inside = torch.minimum(torch.minimum(x - left, right - x), torch.minimum(y - top, bottom - y)) > 0  # (B, P, N)
    passed_over = (inside & ignored(target)[:, None]).any(-1)
    inside = inside & objects(target)[:, None]
    away = torch.maximum((x - (left + right) / 2).abs(), (y - (top + bottom) / 2).abs()) / grid.strides[:, None]
    sizes = area(target[..., :4])
    apart = (torch.bucketize(sizes.sqrt(), limits)[:, None] - grid.level[:, None]).abs()
    ends = torch.cat([limits.new_zeros(1), limits, limits.new_full((1,), torch.inf)])
    low, high = ends[grid.level, None] / _SHARED, ends[grid.level + 1, None] * _SHARED
    root = sizes.sqrt()[:, None]
    fits = inside & (away < _RADIUS) & (root > low) & (root <= high)
    alone = inside.any(1) & ~fits.any(1)  # (B, N)
    nearest = (away + 1e4 * apart).masked_fill(~inside, torch.inf).argmin(1, keepdim=True)
    fits = fits | torch.zeros_like(fits).scatter_(1, nearest, alone[:, None])
    smallest, found = sizes[:, None].masked_fill(~fits, torch.inf).min(-1)
    found = found.masked_fill(smallest == torch.inf, -1)
    return found, (found >= 0) | ~passed_over


def centredness(centres: Tensor, boxes: Tensor) -> Tensor:
    """Return how central locations (P, 2) lie in boxes around them (B, P, 4): (B, P), 1 in the middle, 0 at an edge."""
    before, after = centres - boxes[..., :2], boxes[..., 2:] - centres
    least, most = torch.minimum(before, after).clamp(min=0), torch.maximum(before, after).clamp(min=1e-7)
    return (least / most).prod(-1).sqrt()
