"""From candidates to detections: overlapping boxes of a class are left out."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from tlx.data.box_labels import CLASS, NO_OBJECT
from tlx.tasks.detection.found import LEAST_SCORE
from tlx.tasks.detection.head import Candidates

CANDIDATES = 1000  # of an image, before overlapping ones are left out


def detections(candidates: Candidates, size: tuple[int, int], most: int, overlap: float) -> Tensor:
    """Return detections (B, most, 6): left, top, right, bottom, class and score, the highest score first.

    An empty row has class -1 and score 0.

    Args:
        candidates: Candidates of B images.
        size: Height and width in pixels; boxes are cut off there.
        most: Detections of an image.
        overlap: Intersection over union above which the lower of two boxes of a class is left out.
    """
    boxes, scores, classes = candidates
    height, width = size
    ends = boxes.new_tensor([width, height, width, height])
    boxes = torch.minimum(boxes.clamp(min=0), ends)
    whole = ((boxes[..., 2:] - boxes[..., :2]) > 1e-2).all(-1)
    image, row = ((scores > LEAST_SCORE) & whole).nonzero(as_tuple=True)
    rows = torch.cat([boxes, classes[..., None].to(boxes), scores[..., None]], dim=-1)[image, row]
    return best(rows, image, len(boxes), most, overlap)


def best(rows: Tensor, image: Tensor, images: int, most: int, overlap: float) -> Tensor:
    """Return the detections (B, most, 6) among rows (n, 6) of several images.

    Args:
        rows: Left, top, right, bottom, class and score.
        image: The image of each row (n,), int64.
        images: Number of images B.
        most: Detections of an image.
        overlap: Intersection over union above which the lower of two boxes of a class is left out.
    """
    found = rows.new_zeros(images, most, 6)
    found[..., CLASS] = NO_OBJECT
    classes = rows[:, CLASS].long()
    kept = batched_nms(rows[:, :4], rows[:, 5], image * (int(classes.max()) + 1 if len(rows) else 1) + classes, overlap)
    kept = kept[image[kept].argsort(stable=True)]  # the highest score of each image first
    owner = image[kept]
    counts = owner.bincount(minlength=images)
    rank = torch.arange(len(kept), device=rows.device) - (counts.cumsum(0) - counts)[owner]
    first = rank < most
    found[owner[first], rank[first]] = rows[kept[first]]
    return found
