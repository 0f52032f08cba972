"""Faster R-CNN (Ren et al., 2015): proposals from anchors, then a class and a better box for each proposal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from tlx.tasks.detection.anchors import anchors_of, assigned, cells, classes_of
from tlx.tasks.detection.box_levels import MAPPED, BoxLevels
from tlx.tasks.detection.grid import Grid
from tlx.tasks.detection.head import Candidates, DetectionHead, Features, Output, picked, shortened
from tlx.tasks.detection.losses import smooth_l1

_RPN_LOW, _RPN_HIGH, _LOW = 0.3, 0.7, 0.5  # intersection over union, as in torchvision
_ANCHORS, _ANCHORS_POSITIVE = 256, 0.5  # of an image in the loss, and the largest share of them with an object
_REGIONS, _REGIONS_POSITIVE = 128, 0.25  # the same of proposals
_BETA = 1 / 9
_BEFORE, _AFTER = {"training": 1000, "testing": 500}, {"training": 500, "testing": 200}  # proposals, around their NMS
_RESOLUTION = 7  # cells of a region, either way
_WIDER = 4  # times as many features of a region as channels of a map: 1,024 with torchvision's 256


class FasterRcnn(DetectionHead):
    """torchvision's region proposal network and RoI heads, with anchors that follow the training boxes.

    Classes are numbered from 1 in the layers, where 0 is the background.

    Args:
        channels: Channels of the maps.
        classes: Number of classes K.
        convs: Convolutions of the region proposal network.
        levels: The sizes of anchors at each level.
    """

    overlap = 0.5

    def __init__(self, channels: int, classes: int, convs: int, levels: BoxLevels) -> None:
        super().__init__()
        sizes = cells(levels)
        self.pooled = [str(number) for number, stride in enumerate(levels.strides) if stride <= MAPPED]
        # The anchors and the samples of the losses are tlx's own; see `forward` and `loss`.
        self.rpn = RegionProposalNetwork(
            nn.Identity(), RPNHead(channels, sizes.shape[1], convs), _RPN_HIGH, _RPN_LOW, _ANCHORS, _ANCHORS_POSITIVE,
            _BEFORE, _AFTER, nms_thresh=0.7,
        )  # fmt: skip
        wide = _WIDER * channels
        self.roi_heads = RoIHeads(
            MultiScaleRoIAlign(self.pooled, _RESOLUTION, sampling_ratio=2),
            TwoMLPHead(channels * _RESOLUTION**2, wide), FastRCNNPredictor(wide, classes + 1), _LOW, _LOW, _REGIONS,
            _REGIONS_POSITIVE, None, score_thresh=0.0, nms_thresh=self.overlap, detections_per_img=0,
        )  # fmt: skip
        self.register_buffer("cells", sizes)
        self.cells: Tensor

    def forward(self, features: Features) -> Output:
        """Return the predictions for all anchors and for a choice of regions (B, …).

        With known boxes in training, the regions are a sample of proposals and boxes, otherwise the best proposals.
        Without known boxes in training there are none.
        """
        maps, grid, target = features
        logits, moves = self.rpn.head(maps)
        rows = {"objectness": _by_anchor(logits, 1)[..., 0], "moves": _by_anchor(moves, 4)}
        if (self.training and target is None) or maps[0].is_meta:
            return Output(rows, grid)
        regions = self._proposals(rows, grid)  # (B, R, 4), empty ones at the end
        if target is not None:
            target = shortened(target)
            if self.training:
                regions = torch.cat([regions, target[..., :4].to(regions)], dim=1)
            rows |= self._sample(regions, target)
        else:
            rows["regions"] = regions
        batch = [*rows["regions"]]
        named = {str(number): one.float() for number, one in enumerate(maps) if str(number) in self.pooled}
        pooled = self.roi_heads.box_roi_pool(named, batch, [grid.size] * len(batch)).to(maps[0].dtype)
        scores, changes = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        rows["region_logits"] = scores.unflatten(0, (len(batch), -1))
        rows["region_moves"] = changes.view(len(batch), -1, scores.shape[-1], 4)
        return Output(rows, grid)

    def sums(self, output: Output, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of the losses of anchors and of regions, and the number of each that were drawn (2,).

        Args:
            output: The head's output for images whose boxes were known.
            target: The boxes of the images (B, N, 6).
        """
        parts = [self._of_anchors(output, target), self._of_regions(output.rows, target)]
        return torch.stack([loss for loss, _ in parts]), torch.stack([drawn.sum() for _, drawn in parts]).to(target)

    def _of_anchors(self, output: Output, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of the anchors that were drawn, a scalar, and which were (B, P)."""
        rows, anchors = output.rows, anchors_of(output.grid, self.cells)
        found, counts = assigned(anchors, target, _RPN_LOW, _RPN_HIGH, every_object=True)
        positive = found >= 0
        drawn = self._drawn(positive, counts, _ANCHORS, _ANCHORS_POSITIVE)
        objectness = rows["objectness"].float()
        losses = F.binary_cross_entropy_with_logits(objectness, positive.float(), reduction="none")
        every = anchors.expand(len(target), -1, -1)
        edges = torch.where(positive[..., None], picked(target, found.clamp(min=0))[..., :4], every)
        moves = self.rpn.box_coder.encode_single(edges.flatten(0, 1), every.flatten(0, 1)).view_as(edges)
        boxes = smooth_l1(rows["moves"].float(), moves, (positive & drawn).float(), _BETA).sum()
        return (losses * drawn).sum() + boxes, drawn

    def _of_regions(self, rows: dict[str, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of the regions that were drawn, a scalar, and which were (B, R)."""
        found, drawn, regions = rows["found"], rows["drawn"], rows["regions"]
        positive = (found >= 0) & drawn
        labels = classes_of(found, target) + 1
        losses = F.cross_entropy(rows["region_logits"].float().movedim(-1, 1), labels, reduction="none")
        wide = regions + regions.new_tensor([0.0, 0.0, 1e-3, 1e-3])  # an empty one has no logarithm
        edges = torch.where(positive[..., None], picked(target, found.clamp(min=0))[..., :4], wide)
        moves = self.roi_heads.box_coder.encode_single(edges.flatten(0, 1), wide.flatten(0, 1)).view_as(edges)
        own = rows["region_moves"].float().gather(2, labels[..., None, None].expand(-1, -1, 1, 4)).squeeze(2)
        boxes = smooth_l1(own, moves, positive.float(), _BETA).sum()
        return (losses * drawn).sum() + boxes, drawn

    def candidates(self, output: Output, most: int) -> Candidates:
        """Return at most `most` candidates of each image (B, M): each region with each of its classes."""
        rows = output.rows
        regions = rows["regions"]
        real = (regions[..., 2] > regions[..., 0]) & (regions[..., 3] > regions[..., 1])
        scores = rows["region_logits"].float().softmax(-1)[..., 1:] * real[..., None]
        classes = scores.shape[-1]
        best, index = scores.flatten(1).topk(min(most, scores.shape[1] * classes), dim=1)
        region, label = index // classes, index % classes
        moves = picked(rows["region_moves"].float()[:, :, 1:].flatten(1, 2), index)
        boxes = self.roi_heads.box_coder.decode_single(moves.flatten(0, 1), picked(regions, region).flatten(0, 1))
        return Candidates(boxes.view_as(moves), best, label)

    def class_scores(self, output: Output) -> Tensor:
        """Return scores of K classes and of the background of all regions (B, R, K + 1), before softmax."""
        return output.rows["region_logits"].float().roll(-1, dims=-1)

    def macs_of_regions(self) -> int:
        """Return the multiply-accumulate operations for the regions of one image, which are linear layers."""
        layers = [part for part in self.roi_heads.modules() if isinstance(part, nn.Linear)]
        return _AFTER["testing"] * sum(layer.weight.numel() for layer in layers)

    def _proposals(self, rows: dict[str, Tensor], grid: Grid) -> Tensor:
        """Return the best proposals (B, R, 4), float32; an image with fewer has empty ones at the end."""
        objectness, moves = rows["objectness"].detach().float(), rows["moves"].detach().float()
        anchors = anchors_of(grid, self.cells).expand_as(moves)
        boxes = self.rpn.box_coder.decode_single(moves.flatten(0, 1), anchors.flatten(0, 1)).view_as(moves)
        counts = [count * self.cells.shape[1] for count in grid.counts]
        found, _ = self.rpn.filter_proposals(boxes, objectness, [grid.size] * len(boxes), counts)
        regions: Tensor = boxes.new_zeros(len(boxes), self.rpn.post_nms_top_n(), 4)
        for image, own in enumerate(found):
            regions[image, : len(own)] = own
        return regions

    def _sample(self, regions: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the regions (B, R, 4) in the loss, the object that each finds, and whether it was drawn (B, R)."""
        found, counts = assigned(regions, target, _LOW, _LOW, every_object=False)
        counts = counts & (regions[..., 2] > regions[..., 0])
        drawn = self._drawn(found >= 0, counts, _REGIONS, _REGIONS_POSITIVE)
        if not self.training:  # all of them are needed for the detections
            return {"regions": regions, "found": found, "drawn": drawn}
        index = drawn.to(torch.uint8).topk(min(_REGIONS, drawn.shape[1]), dim=1).indices
        return {
            "regions": picked(regions, index), "found": found.gather(1, index), "drawn": drawn.gather(1, index)
        }  # fmt: skip

    def _drawn(self, positive: Tensor, counts: Tensor, most: int, share: float) -> Tensor:
        """Return which rows (B, M) are in the loss: at most `most` of each image, of which a share has an object.

        In training they are drawn at random, otherwise always the same.
        """
        generator = None if self.training else torch.Generator(positive.device).manual_seed(0)
        keys = torch.rand(positive.shape, device=positive.device, generator=generator)
        room = torch.full_like(keys[:, :1], round(most * share))
        first = _first(keys.masked_fill(~(positive & counts), -1.0), most, room)
        return first | _first(keys.masked_fill(positive | ~counts, -1.0), most, most - first.sum(1, keepdim=True))


def _by_anchor(levels: Sequence[Tensor], width: int) -> Tensor:
    """Return (B, P * A, width) from maps (B, A * width, h, w), in the order of the anchors."""
    return torch.cat([one.unflatten(1, (-1, width)).permute(0, 3, 4, 1, 2).flatten(1, 3) for one in levels], dim=1)


def _first(keys: Tensor, most: int, room: Tensor) -> Tensor:
    """Return which rows (B, M) have the largest keys that are not negative: `room` (B, 1) of them, at most `most`."""
    best, index = keys.topk(min(most, keys.shape[1]), dim=1)
    chosen = (best >= 0) & (torch.arange(best.shape[1], device=keys.device) < room)
    return torch.zeros_like(keys, dtype=torch.bool).scatter_(1, index, chosen)
