"""torchvision's reference loop of detection (references/detection), with the data, backbone and head of the benchmark.

It follows train.py of these references: SGD with momentum 0.9 and weight decay 1e-4, the rate of 0.02 for 16 images
scaled to the batch, a linear warm-up over the first epoch, the rate divided by 10 after 16/26 and 22/26 of the epochs,
horizontal flips, all layers trained, frozen BatchNorm statistics, the last weights. Size and normalisation are those of
torchvision's own transform, with the sides that tlx chose. The model is torchvision's, on a feature pyramid of the same
backbone with the same weights, channels and convolutions; its levels, ranges and anchors are torchvision's.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from tlx.backbones.backbone import Backbone

RATE = 0.02 / 16  # for each image of a batch
DROPS = (16 / 26, 22 / 26)  # of the epochs
Labelled = tuple[Path, Tensor]  # an image and its boxes (n, 6), see tlx.data.box_labels


class Images(Dataset):
    """Images in [0, 1] with their boxes; of training images half are mirrored. Ignored boxes are left out."""

    def __init__(self, labelled: Sequence[Labelled], mirrored: bool, first_class: int) -> None:
        self.labelled, self.mirrored, self.first_class = labelled, mirrored, first_class

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        path, rows = self.labelled[index]
        image = torch.tensor(np.asarray(Image.open(path).convert("RGB"))).movedim(-1, 0).float() / 255
        rows = rows[(rows[:, 4] >= 0) & (rows[:, 5] == 0)]
        boxes, labels = rows[:, :4].clone(), rows[:, 4].long() + self.first_class
        if self.mirrored and float(torch.rand(())) < 0.5:
            image, width = image.flip(-1), image.shape[-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        return image, {"boxes": boxes, "labels": labels}


class Maps(nn.Module):
    """A feature pyramid on the maps of a backbone of tlx, as torchvision's models expect it."""

    def __init__(self, backbone: Backbone, strides: Sequence[int], channels: int) -> None:
        super().__init__()
        self.body, self.out_channels = backbone, channels
        own = backbone.strides
        self.reads = [[name for name in own if own[name] == stride][-1] for stride in strides]
        widths = [backbone.channels[name] for name in self.reads]
        self.fpn = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        found = self.body.maps(images, self.reads)
        return self.fpn(OrderedDict((str(number), one) for number, one in enumerate(found)))


def model(kind: str, backbone: Backbone, classes: int, channels: int, convs: int, sides: tuple[int, int]) -> nn.Module:
    """Return a model of torchvision.

    Args:
        kind: `fcos`, `retinanet` or `fasterrcnn`.
        backbone: The backbone with its weights; frozen BatchNorm statistics.
        classes: Number of classes, without the background.
        channels: Channels of the pyramid.
        convs: Convolutions of FCOS's head.
        sides: Shorter side of resized images in pixels, and what the longer one has at most.
    """
    maps = Maps(backbone, (8, 16, 32), channels)
    how = {
        "min_size": sides[0], "max_size": sides[1], "image_mean": list(backbone.preprocessing.mean),
        "image_std": list(backbone.preprocessing.std),
    }  # fmt: skip
    levels = (8, 16, 32, 64)
    if kind == "fcos":
        anchors = AnchorGenerator(tuple((one,) for one in levels), ((1.0,),) * len(levels))
        head = FCOSHead(channels, 1, classes, convs)
        return FCOS(maps, classes, anchor_generator=anchors, head=head, score_thresh=0.01, **how)
    sizes = tuple(tuple(round(4 * one * 2 ** (k / 3)) for k in range(3)) for one in levels)
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(levels))
    if kind == "retinanet":
        head = RetinaNetHead(channels, anchors.num_anchors_per_location()[0], classes, partial(nn.GroupNorm, 32))
        return RetinaNet(maps, classes, anchor_generator=anchors, head=head, score_thresh=0.01, **how)
    return FasterRCNN(maps, classes + 1, rpn_anchor_generator=anchors, box_score_thresh=0.01, **how)


def first_class(kind: str) -> int:
    """Return the number of the first class: Faster R-CNN has the background as class 0."""
    return int(kind == "fasterrcnn")


def train(
    network: nn.Module,
    labelled: Sequence[Labelled],
    seed: int,
    epochs: int,
    batch: int,
    device: torch.device,
    first: int,
) -> float:
    """Train a model; return the seconds that it took.

    Args:
        network: The model, on the device.
        labelled: The training images, repeated if an epoch shows them several times.
        seed: Decides order and flips.
        epochs: Passes over these images.
        batch: Images of a step.
        device: Where it trains.
        first: Number of the first class.
    """
    torch.manual_seed(seed)
    loader = DataLoader(
        Images(labelled, True, first),
        batch,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda rows: tuple(zip(*rows, strict=True)),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE * batch, momentum=0.9, weight_decay=1e-4)
    drops = torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(epochs * share) for share in DROPS], gamma=0.1)
    warmup: Any = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=min(1000, len(loader) - 1))
    start = time.perf_counter()
    for epoch in range(epochs):
        network.train()
        frozen_statistics(network)
        for images, targets in loader:
            moved = [{name: value.to(device) for name, value in one.items()} for one in targets]
            losses = network([image.to(device) for image in images], moved)
            loss = sum(losses.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch == 0:
                warmup.step()
        drops.step()
    return time.perf_counter() - start


def frozen_statistics(network: nn.Module) -> None:
    """Keep the BatchNorm statistics of the loaded backbone."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


@torch.no_grad()
def detected(network: nn.Module, labelled: Sequence[Labelled], device: torch.device, first: int) -> list[Tensor]:
    """Return the detections of each image (n, 6): box, class from 0, score."""
    network.eval()
    found = []
    for image, _ in Images(labelled, False, first):
        one = network([image.to(device)])[0]
        rows = [one["boxes"], (one["labels"] - first).float()[:, None], one["scores"][:, None]]
        found.append(torch.cat(rows, dim=1).cpu())
    return found
