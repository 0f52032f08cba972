"""Ratios of the time of a training step of segmentation, each measured twice, in turn, in one process.

    python benchmarks/segmentation_speed.py --device cuda

cached: a stage with a frozen backbone, fed from the cache, and its decoder and head alone on tensors in memory.
full:   a step of `full` with the Trainer and all callbacks, and a hand-written loop, both on batches in memory.
vgg16:  `full` and `linear_probe` with VGG16 (random weights), both by `tlx train`; the cache is filled before.
wall:   whole trainings: `full` of tlx and the loop that segmentation-models-pytorch documents, seconds for 5 epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from dense_steps import BATCH, Workload, run
from step_ratios import CPU, GPU, Pair, Ratio, in_turn
from torch import Tensor

import tlx
from tlx.backbones import efficientnet_lite0
from tlx.tasks import Segmentation
from tlx.tasks.segmentation.losses import segmentation_loss

LOSS = {"ce": 1.0, "dice": 1.0}
NAMES = ("background", "cytoplasm", "nucleus")
SIZE = (224, 224)  # pixels
FRACTION = {GPU: 1.0, CPU: 0.1}  # of the training images


def configured(device: str, folder: Path, strategy: str, seed: int, epochs: int, *more: str) -> list[str]:
    """Return the overrides of a short training; few images are left for validation and test."""
    from segmentation import ACCELERATOR, DECODER, masks

    return [
        "task=segmentation", DECODER, *masks(1), "backbone=efficientnet_lite0", "dataset.image_size=224",
        "logger=none",
        f"dataset.batch_size={BATCH[device]}", f"dataset.fraction={FRACTION[device]}", "dataset.val_fraction=0.05",
        "dataset.test_fraction=0.05", f"trainer.accelerator={ACCELERATOR[device]}", "trainer.devices=1",
        f"strategy={strategy}", f"strategy.stages.0.epochs={epochs}", f"seed={seed}", f"output_dir={folder}",
        "dataset.subset_seed=0", *more,
    ]  # fmt: skip


def wall(device: str, folder: Path) -> Callable[[int], Pair]:
    """Return what measures whole trainings of tlx and of the documented loop, with reading and validation."""
    from peers import smp_loop
    from segmentation import ACCELERATOR, DECODER, masks, pairs

    epochs, fraction = 5 if device == GPU else 2, FRACTION[device]
    found = pairs(1)
    found["train"] = found["train"][: round(fraction * len(found["train"]))]

    def ours(turn: int) -> float:
        run = tlx.train(
            tlx.compose(
                [
                    "task=segmentation", DECODER, *masks(1), "backbone=efficientnet_lite0", "dataset.image_size=224",
                    f"dataset.batch_size={BATCH[device]}", f"dataset.fraction={fraction}", "strategy=full",
                    f"strategy.stages.0.epochs={epochs}", f"trainer.accelerator={ACCELERATOR[device]}",
                    "trainer.devices=1", "logger=none", f"seed={turn + 100}", f"output_dir={folder}",
                    "dataset.repeats=1",
                ]
            )
        )  # fmt: skip
        return run.metrics["train/seconds"]

    def theirs(turn: int) -> float:
        workers = 4 if device == GPU else 0
        return smp_loop.train(found, turn, epochs, ACCELERATOR[device], batch=BATCH[device], workers=workers)[1]

    theirs(9), ours(9)  # warm up
    return lambda turn: in_turn(turn, lambda: ours(turn), lambda: theirs(turn))


def masks_of(count: int, generator: torch.Generator) -> Tensor:
    """Return masks of random classes, uint8 (B, H, W)."""
    return torch.randint(0, len(NAMES), (count, *SIZE), generator=generator, dtype=torch.uint8)


def loss_of(task: Any, maps: Mapping[str, Tensor], size: tuple[int, int], targets: Tensor) -> Tensor:
    """Return the loss, a scalar, of the decoder and the head on maps (B, C, h, w) by group."""
    return segmentation_loss(task.head(task.decoder(maps, size)), targets, LOSS)


WORK = Workload(
    size=SIZE,
    configured=configured,
    make_task=lambda learning: Segmentation(efficientnet_lite0(), NAMES, "unet", learning=learning),
    make_targets=masks_of,
    loss=loss_of,
)
RATIOS = {
    **WORK.ratios("decoder and head"),
    "wall": Ratio("`full` : segmentation-models-pytorch's documented loop, ms of training", "-", wall),
}


def measure(device: str, output: Path, only: tuple[str, ...] = tuple(RATIOS)) -> str:
    """Take the measurements that are not in OUTPUT/segmentation_speed.csv; return the table."""
    return WORK.measure(RATIOS, only, device, output / "segmentation_speed.csv")


if __name__ == "__main__":
    run(str(__doc__), RATIOS, measure, "segmentation_speed")
