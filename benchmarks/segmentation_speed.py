"""Ratios of the time of a training step of segmentation, each measured twice, in turn, in one process.

    python benchmarks/segmentation_speed.py --device cuda

cached: a stage with a frozen backbone, fed from the cache, and its decoder and head alone on tensors in memory.
full:   a step of `full` with the Trainer and all callbacks, and a hand-written loop, both on batches in memory.
vgg16:  `full` and `linear_probe` with VGG16 (random weights), both by `tlx train`; the cache is filled before.
wall:   whole trainings: `full` of tlx and the loop that segmentation-models-pytorch documents, seconds for 5 epochs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from overhead import ADAMW, Batches, wait, with_tlx
from report import machine
from step_ratios import CPU, GPU, Pair, Ratio, in_turn, mean_step, measured, step_of
from torch import Tensor

import tlx
from tlx.backbones import efficientnet_lite0
from tlx.tasks import Segmentation
from tlx.tasks.learner import Learning
from tlx.tasks.segmentation.losses import segmentation_loss
from tlx.training.experiment import build
from tlx.training.optimizers import build_optimizer

LOSS = {"ce": 1.0, "dice": 1.0}
NAMES = ("background", "cytoplasm", "nucleus")
BATCH = {GPU: 16, CPU: 4}
EPOCHS = {GPU: 6, CPU: 2}
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


def cached(device: str, folder: Path) -> Callable[[int], Pair]:
    """Return what measures a cached stage and its upper groups alone."""
    epochs = EPOCHS[device]
    train = partial(configured, device, folder, "linear_probe")
    tlx.train(tlx.compose(train(0, max(epochs, 4) if device == GPU else epochs)))  # fills the cache
    _, task = build(tlx.compose(train(0, epochs)))
    task = task.to(device)
    assert isinstance(task, Segmentation)
    task.set_memory_format(channels_last=True)
    images, targets = _examples(BATCH[device], torch.device(device))
    with torch.no_grad():
        x = task.eval().normalise(images)
        maps = task.backbone.run(x, outputs=task.reads, pooled=False)
    size = (x.shape[-2], x.shape[-1])

    def alone() -> float:
        upper = [task.decoder.train(), task.head.train()]
        optimizer = torch.optim.AdamW([p for part in upper for p in part.parameters()], lr=ADAMW["lr"])

        def step() -> None:
            loss = segmentation_loss(task.head(task.decoder(maps, size)), targets, LOSS)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return mean_step(step, device)

    def measure(turn: int) -> Pair:
        pair = (lambda: step_of(train(turn + 1, epochs)), alone)
        return in_turn(turn, *pair)

    return measure


def full(device: str, folder: Path) -> Callable[[int], Pair]:
    """Return what measures a step of `full` and of a hand-written loop, on batches in memory."""
    place = torch.device(device)
    batch, count = BATCH[device], 24 if device == GPU else 12
    batches = Batches(count, batch, 224, place)
    images, targets = _examples(batch, place)
    batches.items = [{"image": images, "target": targets}] * count
    hand, ours = _task(place), _task(place)

    def by_hand() -> float:
        hand.train()
        optimizer = torch.optim.AdamW(hand.parameters(), lr=ADAMW["lr"], weight_decay=ADAMW["weight_decay"])
        seconds = []
        for item in batches:
            start = time.perf_counter()
            x = item["image"].float().sub_(hand.mean).mul_(hand.scale).contiguous(memory_format=torch.channels_last)
            maps = hand.backbone.run(x, outputs=hand.reads, pooled=False)
            loss = segmentation_loss(hand.head(hand.decoder(maps, (224, 224))), item["target"], LOSS)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            wait(place)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[1:])

    def by_tlx() -> float:
        return statistics.median(with_tlx(ours.to(place), batches, place, False))

    by_hand(), by_tlx()  # warm up
    return lambda turn: in_turn(turn, by_tlx, by_hand)


def vgg16(device: str, folder: Path) -> Callable[[int], Pair]:
    """Return what measures `full` and `linear_probe` with VGG16."""
    more = ("backbone=vgg16", "backbone.weights=null", "cache.max_gb=20", "dataset.repeats=1")
    views = 2  # VGG16's maps are large
    few = (f"cache.views={views}", "strategy.stages.0.batch_norm=frozen")
    probe = lambda seed: configured(device, folder, "linear_probe", seed, 2 * views, *more, *few)  # noqa: E731
    tlx.train(tlx.compose(probe(0)))  # fills the cache

    def measure(turn: int) -> Pair:
        everything = configured(device, folder, "full", turn + 1, 2, *more)
        return in_turn(turn, lambda: step_of(everything), lambda: step_of(probe(turn + 1)))

    return measure


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


def _examples(batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, 224, 224), generator=generator, dtype=torch.uint8)
    targets = torch.randint(0, len(NAMES), (batch, 224, 224), generator=generator, dtype=torch.uint8)
    return images.to(device), targets.to(device)


def _task(device: torch.device) -> Segmentation:
    torch.manual_seed(0)
    learning = Learning(make_optimizer=partial(build_optimizer, ADAMW))
    task = Segmentation(efficientnet_lite0(), NAMES, "unet", learning=learning)
    task.set_memory_format(channels_last=True)
    return task.to(device)


RATIOS = {
    "full": Ratio("a step of `full` : a hand-written loop, ms", "at most 1.05", full),
    "cached": Ratio(
        "a stage with a frozen backbone, from the cache : its decoder and head alone, ms a step",
        "at most 1.15",
        cached,
    ),
    "wall": Ratio("`full` : segmentation-models-pytorch's documented loop, ms of training", "-", wall),
    "vgg16": Ratio("VGG16: `full` : `linear_probe` from the cache, ms a step", "at least 3", vgg16),
}


def measure(device: str, output: Path, only: tuple[str, ...] = tuple(RATIOS)) -> str:
    """Take the measurements that are not in OUTPUT/segmentation_speed.csv; return the table."""
    table = measured(RATIOS, only, device, output / "segmentation_speed.csv")
    return f"{table}\n\nBatches of {BATCH[device]}, 224 px, float32; two measurements each. {machine(device)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=(CPU, GPU), default=GPU if torch.cuda.is_available() else CPU)
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=tuple(RATIOS))
    parser.add_argument("--output", type=Path, default=Path("outputs") / "segmentation_speed")
    args = parser.parse_args()
    print(measure(args.device, args.output.resolve(), args.only))


if __name__ == "__main__":
    main()
