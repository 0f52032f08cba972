"""What a training step of a task on maps costs, compared with code that does only what has to be done."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from overhead import ADAMW, Batches, wait, with_tlx
from report import machine
from step_ratios import CPU, GPU, Pair, Ratio, in_turn, mean_step, measured, step_of
from torch import Tensor

import tlx
from tlx.tasks.learner import Learning
from tlx.training.experiment import build
from tlx.training.optimizers import build_optimizer

BATCH = {GPU: 16, CPU: 4}
EPOCHS = {GPU: 6, CPU: 2}


@dataclass(frozen=True)
class Workload:
    """A task, and what its step is measured on.

    Args:
        size: Height and width of an image in pixels.
        configured: Returns the overrides of a short training: (device, folder, strategy, seed, epochs, *more).
        make_task: Returns the task, given what it learns with.
        make_targets: Returns labels of images, given their number and a generator.
        loss: Returns the loss, a scalar: (task, maps by group, height and width, labels).
    """

    size: tuple[int, int]
    configured: Callable[..., list[str]]
    make_task: Callable[[Learning], Any]
    make_targets: Callable[[int, torch.Generator], Tensor]
    loss: Callable[[Any, Mapping[str, Tensor], tuple[int, int], Tensor], Tensor]

    def examples(self, device: str) -> tuple[Tensor, Tensor]:
        """Return a batch of images, uint8 (B, 3, H, W), and their labels (B, …), on the device."""
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (BATCH[device], 3, *self.size), generator=generator, dtype=torch.uint8)
        return images.to(device), self.make_targets(BATCH[device], generator).to(device)

    def task(self, device: str) -> Any:
        """Return the task on the device; its weights are always the same."""
        torch.manual_seed(0)
        task = self.make_task(Learning(make_optimizer=partial(build_optimizer, ADAMW)))
        task.set_memory_format(channels_last=True)
        return task.to(device)

    def ratios(self, upper: str) -> dict[str, Ratio]:
        """Return the comparisons by name; `upper` says what is above the backbone, in words."""
        alone = f"a stage with a frozen backbone, from the cache : its {upper} alone, ms a step"
        return {
            "full": Ratio("a step of `full` : a hand-written loop, ms", "at most 1.05", self._full),
            "cached": Ratio(alone, "at most 1.15", self._cached),
            "vgg16": Ratio("VGG16: `full` : `linear_probe` from the cache, ms a step", "at least 3", self._vgg16),
        }

    def _full(self, device: str, folder: Path) -> Callable[[int], Pair]:
        """Return what measures a step of `full` and of a hand-written loop, on batches in memory."""
        place, count = torch.device(device), 24 if device == GPU else 12
        batches = Batches(count, 1, 32, place)
        images, targets = self.examples(device)
        batches.items = [{"image": images, "target": targets}] * count
        hand, ours = self.task(device), self.task(device)

        def by_hand() -> float:
            hand.train()
            optimizer = torch.optim.AdamW(hand.parameters(), lr=ADAMW["lr"], weight_decay=ADAMW["weight_decay"])
            seconds = []
            for item in batches:
                start = time.perf_counter()
                x = item["image"].float().sub_(hand.mean).mul_(hand.scale).contiguous(memory_format=torch.channels_last)
                maps = hand.backbone.run(x, outputs=hand.reads, pooled=False)
                loss = self.loss(hand, maps, self.size, item["target"])
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

    def _cached(self, device: str, folder: Path) -> Callable[[int], Pair]:
        """Return what measures a cached stage and its upper groups alone."""
        epochs = EPOCHS[device]
        train = partial(self.configured, device, folder, "linear_probe")
        tlx.train(tlx.compose(train(0, epochs)))  # fills the cache
        _, task = build(tlx.compose(train(0, epochs)))
        task.to(device)
        task.set_memory_format(channels_last=True)
        images, targets = self.examples(device)
        with torch.no_grad():
            x = task.eval().normalise(images)
            maps = task.backbone.run(x, outputs=task.reads, pooled=False)
        size = (x.shape[-2], x.shape[-1])

        def alone() -> float:
            upper = [getattr(task, name).train() for name in task.kind.upper_groups]
            optimizer = torch.optim.AdamW([p for part in upper for p in part.parameters()], lr=ADAMW["lr"])

            def step() -> None:
                loss = self.loss(task, maps, size, targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

            return mean_step(step, device)

        return lambda turn: in_turn(turn, lambda: step_of(train(turn + 1, epochs)), alone)

    def _vgg16(self, device: str, folder: Path) -> Callable[[int], Pair]:
        """Return what measures `full` and `linear_probe` with VGG16 (random weights)."""
        views = 2  # VGG16's maps are large
        train = partial(self.configured, device, folder)
        more = ("backbone=vgg16", "backbone.weights=null", "cache.max_gb=20", "dataset.repeats=1")
        few = (*more, f"cache.views={views}", "strategy.stages.0.batch_norm=frozen")
        tlx.train(tlx.compose(train("linear_probe", 0, 2 * views, *few)))  # fills the cache

        def measure(turn: int) -> Pair:
            everything = partial(step_of, train("full", turn + 1, 2, *more))
            return in_turn(turn, everything, partial(step_of, train("linear_probe", turn + 1, 2 * views, *few)))

        return measure

    def measure(self, ratios: Mapping[str, Ratio], only: tuple[str, ...], device: str, path: Path) -> str:
        """Take the measurements that are not in a CSV file yet; return the table, with what it was measured on."""
        table = measured(ratios, only, device, path)
        size = "{} x {} px".format(*self.size)
        return f"{table}\n\nBatches of {BATCH[device]}, {size}, float32; two measurements each. {machine(device)}."


def run(description: str, ratios: Mapping[str, Ratio], measure: Callable[..., str], name: str) -> None:
    """Read the command line, take the measurements, and print them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=(CPU, GPU), default=GPU if torch.cuda.is_available() else CPU)
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=tuple(ratios))
    parser.add_argument("--output", type=Path, default=Path("outputs") / name)
    args = parser.parse_args()
    print(measure(args.device, args.output.resolve(), args.only))
