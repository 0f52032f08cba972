"""Ratios of the time of a training step of detection, each measured twice, in turn, in one process.

    python benchmarks/detection_speed.py --device cuda

cached: a stage with a frozen backbone, fed from the cache, and its pyramid and head alone on tensors in memory.
full:   a step of `full` with the Trainer and all callbacks, and a hand-written loop, both on batches in memory.
vgg16:  `full` and `linear_probe` with VGG16 (random weights), both by `tlx train`; the cache is filled before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from dense_steps import BATCH, Workload, run
from step_ratios import CPU, GPU
from torch import Tensor

from tlx.backbones import efficientnet_lite0
from tlx.tasks import Detection
from tlx.tasks.detection.head import Features

NAMES = ("platelet", "red", "white")
CANVAS = (256, 352)  # pixels, that of the blood cells
OBJECTS = 14  # an image
FRACTION = {GPU: 1.0, CPU: 0.15}  # of the training images


def configured(device: str, folder: Path, strategy: str, seed: int, epochs: int, *more: str) -> list[str]:
    """Return the overrides of a short training."""
    from detection import ACCELERATOR, SETS

    return [
        "task=detection", *SETS["blood_cells"], "dataset.name=cells", "backbone=efficientnet_lite0", "logger=none",
        f"dataset.batch_size={BATCH[device]}", f"dataset.fraction={FRACTION[device]}", "dataset.repeats=1",
        f"trainer.accelerator={ACCELERATOR[device]}", "trainer.devices=1", f"strategy={strategy}",
        f"strategy.stages.0.epochs={epochs}", f"seed={seed}", f"output_dir={folder}", "dataset.subset_seed=0", *more,
    ]  # fmt: skip


def boxes(count: int, generator: torch.Generator) -> Tensor:
    """Return boxes of 20 to 80 pixels (B, OBJECTS, 6), see `tlx.data.box_labels`."""
    targets = torch.zeros(count, OBJECTS, 6)
    corner = torch.rand(count, OBJECTS, 2, generator=generator) * torch.tensor([CANVAS[1] - 80.0, CANVAS[0] - 80.0])
    targets[..., :2] = corner
    targets[..., 2:4] = corner + 20 + 60 * torch.rand(count, OBJECTS, 2, generator=generator)
    targets[..., 4] = torch.randint(0, len(NAMES), (count, OBJECTS), generator=generator)
    return targets


def loss_of(task: Any, maps: Mapping[str, Tensor], size: tuple[int, int], targets: Tensor) -> Tensor:
    """Return the loss, a scalar, of the pyramid and the head on maps (B, C, h, w) by group."""
    output = task.head(Features(*task.pyramid(maps, size), targets))
    loss: Tensor = task.head.loss(output, targets)
    return loss


WORK = Workload(
    size=CANVAS,
    configured=configured,
    make_task=lambda learning: Detection(efficientnet_lite0(), NAMES, learning=learning),
    make_targets=boxes,
    loss=loss_of,
)
RATIOS = WORK.ratios("pyramid and head")


def measure(device: str, output: Path, only: tuple[str, ...] = tuple(RATIOS)) -> str:
    """Take the measurements that are not in OUTPUT/detection_speed.csv; return the table."""
    return WORK.measure(RATIOS, only, device, output / "detection_speed.csv")


if __name__ == "__main__":
    run(str(__doc__), RATIOS, measure, "detection_speed")
