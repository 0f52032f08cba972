"""tlx's training step compared with a hand-written PyTorch loop: same network, memory format, precision and batch.

    python benchmarks/overhead.py                     EfficientNet-Lite0 on the CPU
    python benchmarks/overhead.py --gpu               ResNet-50, 224 px, bf16

Both take the same batches from memory, in turn in one process: some steps of the loop, then an epoch of as many steps
of tlx; every second round the order is reversed. The loop uses torch's optimizer with default arguments. A step of tlx
is timed from its start to the start of the next one, which includes all work of Lightning and tlx. The result is the
median over the rounds of the ratio of the medians; the goal is at most 1.03. The loop is also compared with itself,
which shows the noise.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

import tlx
from tlx.backbones import Backbone, efficientnet_lite0, torchvision_backbone
from tlx.base.console import quiet
from tlx.base.interruption import Interruption
from tlx.callbacks.checkpoints import Checkpoints
from tlx.callbacks.frozen_prefix import FrozenPrefix
from tlx.callbacks.stages import Stages
from tlx.runs.run import Run
from tlx.strategies.plan import plan_stages
from tlx.tasks import Classification
from tlx.tasks.learner import Learning
from tlx.training.optimizers import build_optimizer
from tlx.training.trainer import build_callbacks, build_trainer

CLASSES = 10
ADAMW = {"_target_": "torch.optim.AdamW", "lr": 1e-4, "weight_decay": 0.01}
FULL = {"stages": [{"name": "full", "train": "all", "epochs": 1, "schedule": "constant"}]}


def make_task(make_backbone: type[Backbone], device: torch.device) -> Classification:
    torch.manual_seed(0)
    learning = Learning(make_optimizer=partial(build_optimizer, ADAMW))
    task = Classification(make_backbone(), [str(i) for i in range(CLASSES)], learning=learning)
    task.set_memory_format(channels_last=True)
    return task.to(device)


class Batches:
    """Equal batches in memory, already on the device."""

    def __init__(self, count: int, batch: int, size: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        image = torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8).to(device)
        target = torch.randint(0, CLASSES, (batch,), generator=generator).to(device)
        self.items = [{"image": image, "target": target}] * count

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self):
        return iter(self.items)


def by_hand(task: Classification, batches: Batches, device: torch.device, bf16: bool) -> list[float]:
    """Train with a plain loop; return the seconds of each step."""
    network = nn.Sequential(*task.backbone.groups.values(), task.backbone.pool, task.head).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=ADAMW["lr"], weight_decay=ADAMW["weight_decay"])
    seconds = []
    for batch in batches:
        start = time.perf_counter()
        x = batch["image"].float().sub_(task.mean).mul_(task.scale).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(network(x), batch["target"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        wait(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]  # the first step creates the optimizer's state


class Clock(pl.Callback):
    """Measures seconds from the start of a step to the start of the next one, with all work of Lightning and tlx."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.marks = device, []

    def on_train_batch_start(self, *_: object) -> None:
        wait(self.device)
        self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [b - a for a, b in zip(self.marks[1:], self.marks[2:], strict=False)]


def with_tlx(task: Classification, batches: Batches, device: torch.device, bf16: bool) -> list[float]:
    """Train an epoch of tlx's strategy `full` with its Trainer and callbacks; return the seconds of each step."""
    with tempfile.TemporaryDirectory() as directory, quiet():
        config = tlx.compose(
            [
                "logger=none", f"run_dir={directory}", "trainer.devices=1", "trainer.progress_bar=false",
                f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}",
                f"trainer.precision={'bf16-mixed' if bf16 else '32-true'}",
            ]
        )  # fmt: skip
        stages = Stages(plan_stages(FULL, ADAMW, task.group_names), "val/accuracy", "max", Path(directory))
        checkpoints = Checkpoints(Path(directory), stages, "val/accuracy", "max", Interruption())
        callbacks = build_callbacks(config, stages, checkpoints, Run(directory), None)
        clock = Clock(device)
        # The cache needs a datamodule; nothing is frozen here.
        used = [clock, *(c for c in callbacks if not isinstance(c, FrozenPrefix))]
        build_trainer(config, used, [], epochs=1).fit(task, batches)
    return clock.seconds()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=24, help="steps of each per round (default: %(default)s)")
    args = parser.parse_args()
    device = torch.device("cuda" if args.gpu else "cpu")
    size, batch = (224, 128) if args.gpu else (96, 16)
    make = (lambda: torchvision_backbone("resnet50", load=False)) if args.gpu else efficientnet_lite0
    name = "resnet50, bf16" if args.gpu else "efficientnet_lite0, float32"
    batches = Batches(args.steps, batch, size, device)
    hand, ours = make_task(make, device), make_task(make, device)
    runs = {
        "by hand": lambda: by_hand(hand, batches, device, args.gpu),
        "again": lambda: by_hand(hand, batches, device, args.gpu),
        "tlx": lambda: with_tlx(ours.to(device), batches, device, args.gpu),
    }
    for run in runs.values():  # warm up
        run()
    print(f"{name}, {size} px, batch {batch}, channels_last, on {device_name(device)}")
    print(f"{'round':>5}  {'by hand, ms':>12}  {'tlx, ms':>9}  {'by hand again':>14}  {'tlx':>6}")
    ratios: dict[str, list[float]] = {"again": [], "tlx": []}
    for i in range(args.rounds):
        order = list(runs) if i % 2 == 0 else list(reversed(runs))
        took = {label: statistics.median(runs[label]()) for label in order}
        for label, values in ratios.items():
            values.append(took[label] / took["by hand"])
        print(
            f"{i + 1:>5}  {1000 * took['by hand']:>12.2f}  {1000 * took['tlx']:>9.2f}  {ratios['again'][-1]:>14.3f}  "
            f"{ratios['tlx'][-1]:>6.3f}"
        )
    again, ratio = (statistics.median(ratios[label]) for label in ("again", "tlx"))
    print(f"ratio of the time of a step: {ratio:.3f} (goal: at most 1.03; the loop against itself {again:.3f})")


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
