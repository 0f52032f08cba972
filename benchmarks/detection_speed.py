"""Ratios of the time of a training step of detection, each measured twice, in turn, in one process.

    python benchmarks/detection_speed.py --device cuda

cached: a stage with a frozen backbone, fed from the cache, and its pyramid and head alone on tensors in memory.
full:   a step of `full` with the Trainer and all callbacks, and a hand-written loop, both on batches in memory.
vgg16:  `full` and `linear_probe` with VGG16 (random weights), both by `tlx train`; the cache is filled before.
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
from tlx.tasks import Detection
from tlx.tasks.detection.head import Features
from tlx.tasks.learner import Learning
from tlx.training.experiment import build
from tlx.training.optimizers import build_optimizer

NAMES = ("platelet", "red", "white")
CANVAS = (256, 352)  # pixels, that of the blood cells
OBJECTS = 14  # an image
BATCH = {GPU: 16, CPU: 4}
EPOCHS = {GPU: 6, CPU: 2}
FRACTION = {GPU: 1.0, CPU: 0.15}  # of the training images


def configured(device: str, folder: Path, strategy: str, seed: int, epochs: int, *more: str) -> list[str]:
    """Return the overrides of a short training."""
    from detection import ACCELERATOR, SETS

    return [
        "task=detection", *SETS["blood_cells"], "dataset.name=cells", "backbone=efficientnet_lite0", "logger=none",
        f"dataset.batch_size={BATCH[device]}", f"dataset.fraction={FRACTION[device]}", "dataset.repeats=1",
        f"trainer.accelerator={ACCELERATOR[device]}", "trainer.devices=1",
        f"strategy={strategy}", f"strategy.stages.0.epochs={epochs}", f"seed={seed}", f"output_dir={folder}",
        "dataset.subset_seed=0", *more,
    ]  # fmt: skip


def cached(device: str, folder: Path) -> Callable[[int], Pair]:
    """Return what measures a cached stage and its upper groups alone."""
    epochs = EPOCHS[device]
    train = partial(configured, device, folder, "linear_probe")
    tlx.train(tlx.compose(train(0, epochs)))  # fills the cache
    _, task = build(tlx.compose(train(0, epochs)))
    task = task.to(device)
    assert isinstance(task, Detection)
    task.set_memory_format(channels_last=True)
    images, targets = _examples(BATCH[device], torch.device(device))
    with torch.no_grad():
        x = task.eval().normalise(images)
        maps = task.backbone.run(x, outputs=task.reads, pooled=False)
    size = (x.shape[-2], x.shape[-1])

    def alone() -> float:
        upper = [task.pyramid.train(), task.head.train()]
        optimizer = torch.optim.AdamW([p for part in upper for p in part.parameters()], lr=ADAMW["lr"])

        def step() -> None:
            loss = task.head.loss(task.head(Features(*task.pyramid(maps, size), targets)), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return mean_step(step, device)

    return lambda turn: in_turn(turn, lambda: step_of(train(turn + 1, epochs)), alone)


def full(device: str, folder: Path) -> Callable[[int], Pair]:
    """Return what measures a step of `full` and of a hand-written loop, on batches in memory."""
    place = torch.device(device)
    batch, count = BATCH[device], 24 if device == GPU else 12
    batches = Batches(count, batch, 32, place)
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
            output = hand.head(Features(*hand.pyramid(maps, CANVAS), item["target"]))
            loss = hand.head.loss(output, item["target"])
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
    more = ("backbone=vgg16", "backbone.weights=null", "cache.max_gb=20")
    views = 2  # VGG16's maps are large
    few = (f"cache.views={views}", "strategy.stages.0.batch_norm=frozen")
    probe = lambda seed: configured(device, folder, "linear_probe", seed, 2 * views, *more, *few)  # noqa: E731
    tlx.train(tlx.compose(probe(0)))  # fills the cache

    def measure(turn: int) -> Pair:
        everything = configured(device, folder, "full", turn + 1, 2, *more)
        return in_turn(turn, lambda: step_of(everything), lambda: step_of(probe(turn + 1)))

    return measure


def _examples(batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return images uint8 (B, 3, H, W) and boxes (B, OBJECTS, 6) of about 60 pixels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *CANVAS), generator=generator, dtype=torch.uint8)
    targets = torch.zeros(batch, OBJECTS, 6)
    corner = torch.rand(batch, OBJECTS, 2, generator=generator) * torch.tensor([CANVAS[1] - 80.0, CANVAS[0] - 80.0])
    targets[..., :2] = corner
    targets[..., 2:4] = corner + 20 + 60 * torch.rand(batch, OBJECTS, 2, generator=generator)
    targets[..., 4] = torch.randint(0, len(NAMES), (batch, OBJECTS), generator=generator)
    return images.to(device), targets.to(device)


def _task(device: torch.device) -> Detection:
    torch.manual_seed(0)
    learning = Learning(make_optimizer=partial(build_optimizer, ADAMW))
    task = Detection(efficientnet_lite0(), NAMES, learning=learning)
    task.set_memory_format(channels_last=True)
    return task.to(device)


RATIOS = {
    "full": Ratio("a step of `full` : a hand-written loop, ms", "at most 1.05", full),
    "cached": Ratio(
        "a stage with a frozen backbone, from the cache : its pyramid and head alone, ms a step",
        "at most 1.15",
        cached,
    ),
    "vgg16": Ratio("VGG16: `full` : `linear_probe` from the cache, ms a step", "at least 3", vgg16),
}


def measure(device: str, output: Path, only: tuple[str, ...] = tuple(RATIOS)) -> str:
    """Take the measurements that are not in OUTPUT/detection_speed.csv; return the table."""
    table = measured(RATIOS, only, device, output / "detection_speed.csv")
    size = f"{CANVAS[0]} x {CANVAS[1]} px"
    return f"{table}\n\nBatches of {BATCH[device]}, {size}, float32; two measurements each. {machine(device)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=(CPU, GPU), default=GPU if torch.cuda.is_available() else CPU)
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=tuple(RATIOS))
    parser.add_argument("--output", type=Path, default=Path("outputs") / "detection_speed")
    args = parser.parse_args()
    print(measure(args.device, args.output.resolve(), args.only))


if __name__ == "__main__":
    main()
