"""Made-up detections and objects of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

EXAMPLE = Path(__file__).parent / "coco_example.json"


def example() -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return detections (14, D, 6), objects (14, G, 6), and pycocotools' metrics by limit.

    The numbers were made once with pycocotools 2.0.11: `COCOeval(truth, detections, "bbox")`, `maxDets=[1, 10, limit]`,
    means over the entries above -1 of `eval["precision"]` and `eval["recall"]`. Some objects are crowds, class 3 has no
    object, one image has more than 100 detections of a class, and two have no object.
    """
    held = json.loads(EXAMPLE.read_text())
    return padded(held["found"]), padded(held["truth"]), held["pycocotools"]


def padded(rows: list[list[list[float]]]) -> Tensor:
    """Return rows of images (N, most, 6), padded with empty rows."""
    each = [torch.tensor(one, dtype=torch.float32).view(-1, 6) for one in rows]
    return emptied(pad_sequence(each, batch_first=True, padding_value=-1))


def emptied(rows: Tensor) -> Tensor:
    """Return rows in which those of class -1 are as a batch has them: all 0 but the class."""
    empty = rows[..., 4] < 0
    rows = rows.masked_fill(empty[..., None], 0)
    rows[..., 4] = rows[..., 4].masked_fill(empty, -1)
    return rows


def drawn(
    images: int, classes: int, objects: int = 6, extra: int = 8, seed: int = 0, side: float = 300
) -> tuple[Tensor, Tensor]:
    """Return detections (N, D, 6) and objects (N, G, 6): most objects found, inexactly, and some background."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    corner = uniform(images, objects, 2) * side * 0.8
    size = (uniform(images, objects, 2) * 0.2 + 0.03) * side
    label = torch.randint(classes, (images, objects, 1), generator=generator)
    truth = torch.cat([corner, corner + size, label, (uniform(images, objects, 1) < 0.1).float()], dim=2)
    truth[uniform(images, objects) < 0.3] = torch.tensor([0.0, 0, 0, 0, -1, 0])
    near = truth[..., :4] + (uniform(images, objects, 4) - 0.5) * 0.25 * size.repeat(1, 1, 2)
    near = torch.cat([near, truth[..., 4:5], uniform(images, objects, 1) * 0.7 + 0.3], dim=2)
    near[uniform(images, objects) < 0.15, 4] = -1
    place = uniform(images, extra, 2) * side * 0.8
    other = torch.cat([place, place + uniform(images, extra, 2) * side * 0.2 + 2], dim=2)
    others = torch.randint(classes, (images, extra, 1), generator=generator)
    found = torch.cat([near, torch.cat([other, others, uniform(images, extra, 1) * 0.8 + 0.005], dim=2)], dim=1)
    found[..., 5] = found[..., 5].masked_fill(found[..., 4] < 0, 0)
    order = found[..., 5].argsort(dim=1, descending=True)
    return emptied(found.gather(1, order[..., None].expand_as(found))), emptied(truth)
