"""RetinaNet (Lin et al., 2017): each anchor predicts a class and how it has to be moved to fit a box."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetHead

from tlx.tasks.detection.anchors import anchors_of, assigned, cells, classes_of
from tlx.tasks.detection.box_levels import BoxLevels
from tlx.tasks.detection.head import Candidates, DetectionHead, Features, Output, picked
from tlx.tasks.detection.losses import focal, smooth_l1
from tlx.tasks.detection.widths import GROUPS

_LOW, _HIGH = 0.4, 0.5  # intersection over union of background and of objects


class RetinaNet(DetectionHead):
    """torchvision's RetinaNet head with GroupNorm, and with anchors that follow the training boxes.

    Args:
        channels: Channels of the maps.
        classes: Number of classes K.
        levels: The sizes of anchors at each level.
    """

    overlap = 0.5

    def __init__(self, channels: int, classes: int, levels: BoxLevels) -> None:
        super().__init__()
        sizes = cells(levels)
        norm = partial(nn.GroupNorm, GROUPS)
        self.network = RetinaNetHead(channels, sizes.shape[1], classes, norm_layer=norm)
        self.register_buffer("cells", sizes)
        self.cells: Tensor

    def forward(self, features: Features) -> Output:
        """Return class logits (B, P * A, K) and moves of the anchors (B, P * A, 4)."""
        return Output(self.network(features.maps), features.grid)

    def sums(self, output: Output, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum over images of focal and L1 loss, each over its anchors with an object (1,), and images (1,).

        Args:
            output: The head's output.
            target: The boxes of the images (B, N, 6).
        """
        anchors = anchors_of(output.grid, self.cells)
        found, counts = assigned(anchors, target, _LOW, _HIGH, every_object=True)
        positive = found >= 0
        total = positive.sum(1).clamp(min=1)
        loss = focal(output.rows["cls_logits"].float(), classes_of(found, target), counts)
        every = anchors.expand(len(target), -1, -1)
        edges = torch.where(positive[..., None], picked(target, found.clamp(min=0))[..., :4], every)
        moves = self._coder.encode_single(edges.flatten(0, 1), every.flatten(0, 1)).view_as(edges)
        loss = loss + smooth_l1(output.rows["bbox_regression"].float(), moves, positive.float(), beta=0.0)
        return (loss / total).sum()[None], loss.new_full((1,), len(target))

    def candidates(self, output: Output, most: int) -> Candidates:
        """Return at most `most` candidates of each image (B, M), whose scores are those of the class."""
        scores = output.rows["cls_logits"].float().sigmoid()
        classes = scores.shape[-1]
        best, index = scores.flatten(1).topk(min(most, scores.shape[1] * classes), dim=1)
        anchors = anchors_of(output.grid, self.cells)[index // classes]
        moves = picked(output.rows["bbox_regression"].float(), index // classes)
        boxes = self._coder.decode_single(moves.flatten(0, 1), anchors.flatten(0, 1)).view_as(moves)
        return Candidates(boxes, best, index % classes)

    @property
    def _coder(self):  # type: ignore[no-untyped-def]  # torchvision has no types
        return self.network.regression_head.box_coder
