"""Small scenes with boxes, and small detectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.backbones import small_cnn, torchvision_backbone
from tlx.data.sources.drawn_scenes import draw_scene
from tlx.tasks.detection.task import Detection
from tlx.tasks.learner import Learning

MODELS = ("fcos", "retinanet", "fasterrcnn")
CHARACTERS = ("1", "4", "X")
MOST = 8


def scenes(count: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Return scenes at half their size, uint8 (B, 3, 80, 96), and their boxes (B, MOST, 6)."""
    images, targets = [], torch.zeros(count, MOST, 6)
    targets[..., 4] = -1
    for number in range(count):
        scene = draw_scene(CHARACTERS, 0, "train", first + number)
        images.append(torch.from_numpy(scene.pixels).float())
        for row, (box, label) in enumerate(zip(scene.boxes.tolist(), scene.classes.tolist(), strict=True)):
            targets[number, row] = torch.tensor([*(edge / 2 for edge in box), label, 0.0])
    return F.avg_pool2d(torch.stack(images), 2).to(torch.uint8), targets


def empty(target: Tensor) -> Tensor:
    """Return boxes (B, N, 6) of images that show nothing."""
    nothing = torch.zeros_like(target)
    nothing[..., 4] = -1
    return nothing


def network(model: str, backbone: str = "small_cnn", target: Tensor | None = None, **keys: Any) -> Detection:
    """Return a narrow detector, whose levels follow the boxes (B, N, 6) if they are given."""
    torch.manual_seed(0)
    body = small_cnn(width=8) if backbone == "small_cnn" else torchvision_backbone(backbone, weights=None)
    learning = None
    if target is not None:
        rows = target[target[..., 4] >= 0]
        learning = Learning(box_sides=(rows[:, 2:4] - rows[:, :2]).tolist(), most_objects=MOST)
    keys = {"pyramid_channels": 64, "class_names": list(CHARACTERS), **keys}
    return Detection(body, model=model, learning=learning, **keys)
