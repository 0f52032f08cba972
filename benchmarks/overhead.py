"""What tlx's training step costs against a hand-written PyTorch loop: same network, layout, precision and batch.

    python benchmarks/overhead.py                     EfficientNet-Lite0 on the CPU
    python benchmarks/overhead.py --gpu               ResNet-50, 224 px, bf16

Both take the same batches from memory, in turn (one epoch of the loop, one of tlx, and again), in one process. The
figure is the ratio of the medians of a step; the goal is at most 1.05.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from tlx.backbones import Backbone, efficientnet_lite0, torchvision_backbone
from tlx.console import quiet
from tlx.review.curves import Curves
from tlx.strategies.divergence import Divergence
from tlx.strategies.optimizers import build_optimizer
from tlx.strategies.plan import plan_stages
from tlx.strategies.randomness import StepSeeds
from tlx.strategies.stages import Stages
from tlx.tasks import Classification

CLASSES = 10
ADAMW = {"_target_": "torch.optim.AdamW", "lr": 1e-4, "weight_decay": 0.01}
FULL = {"stages": [{"name": "full", "train": "all", "epochs": 1, "schedule": "constant"}]}


def make_task(make_backbone: type[Backbone], device: torch.device) -> Classification:
    torch.manual_seed(0)
    task = Classification(make_backbone(), [str(i) for i in range(CLASSES)])
    task.optimizer_node = ADAMW
    task.set_layout(channels_last=True)
    return task.to(device)


class Batches:
    """The same batches in memory, already on the device, for both."""

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
    """A loop as anybody would write it for this network; returns seconds a step."""
    network = nn.Sequential(*task.backbone.groups.values(), task.backbone.pool, task.head).train()
    groups = {g: list(task.named_group(g)) for g in task.group_names}
    optimizer = build_optimizer(ADAMW, groups)
    for group in optimizer.param_groups:
        group["lr"] = ADAMW["lr"]
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
    return seconds


class Clock(pl.Callback):
    """Seconds from the start of one step to the start of the next: all that Lightning and tlx do in between counts."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.marks = device, []

    def on_train_batch_start(self, *_: object) -> None:
        wait(self.device)
        self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [b - a for a, b in zip(self.marks, self.marks[1:], strict=False)]


def with_tlx(task: Classification, batches: Batches, device: torch.device, bf16: bool) -> list[float]:
    """An epoch of tlx's strategy `full`, through Trainer.fit, with its callbacks; returns seconds a step."""
    with tempfile.TemporaryDirectory() as directory, quiet():
        stages = Stages(plan_stages(FULL, ADAMW, task.group_names), "val/accuracy", "max", Path(directory))
        clock = Clock(device)
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=1,
            precision="bf16-mixed" if bf16 else "32-true",
            callbacks=[clock, stages, StepSeeds(0), Divergence(stages), Curves()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, batches)
    return clock.seconds()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    device = torch.device("cuda" if args.gpu else "cpu")
    size, batch, steps = (224, 128, 40) if args.gpu else (96, 16, 24)
    make = (lambda: torchvision_backbone("resnet50", load=False)) if args.gpu else efficientnet_lite0
    name = "resnet50, bf16" if args.gpu else "efficientnet_lite0, float32"
    batches = Batches(steps, batch, size, device)
    hand, ours = make_task(make, device), make_task(make, device)
    by_hand(hand, batches, device, args.gpu)  # warm up
    with_tlx(ours, batches, device, args.gpu)
    loops, fits = [], []
    print(f"{name}, {size} px, batch {batch}, channels_last, on {device_name(device)}")
    print(f"{'round':>5}  {'by hand, ms':>12}  {'tlx, ms':>9}  {'ratio':>6}")
    for i in range(args.rounds):
        loops.append(statistics.median(by_hand(hand, batches, device, args.gpu)))
        fits.append(statistics.median(with_tlx(ours.to(device), batches, device, args.gpu)))
        print(f"{i + 1:>5}  {1000 * loops[-1]:>12.2f}  {1000 * fits[-1]:>9.2f}  {fits[-1] / loops[-1]:>6.3f}")
    ratio = statistics.median(fits) / statistics.median(loops)
    print(f"ratio of the medians of a step: {ratio:.3f} (goal: at most 1.05)")


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
