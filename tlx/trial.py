"""Settle `trainer.channels_last=auto` and `trainer.precision=auto` by a few training steps of each candidate."""

from __future__ import annotations

import copy
import itertools
import logging
import statistics
import time
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn import functional as F

from tlx.data.datamodule import ImageDataModule
from tlx.strategies.plan import PlannedStage
from tlx.tasks.base import Batch, Task

log = logging.getLogger("tlx")
STEPS = 3  # timed after one that warms up


def needs_trial(config: DictConfig) -> bool:
    """Return whether something is left to a trial."""
    return "auto" in (config.trainer.channels_last, config.trainer.precision)


def settle(config: DictConfig, task: Task, data: ImageDataModule, stage: PlannedStage) -> DictConfig:
    """Return the configuration with the fastest layout and precision in place of `auto`.

    Each candidate takes a few training steps of the stage that trains most, on one real batch; the choice and the
    milliseconds are logged.
    """
    trainer = config.trainer
    layouts = [True, False] if trainer.channels_last == "auto" else [bool(trainer.channels_last)]
    precisions = ["32-true", "bf16-mixed"] if trainer.precision == "auto" else [str(trainer.precision)]
    device = torch.device("cuda" if torch.cuda.is_available() and trainer.accelerator != "cpu" else "cpu")
    loaded: Any = next(iter(data.train_dataloader()))
    batch: Batch = {k: v.to(device) for k, v in loaded.items()}
    seconds = {
        (layout, precision): _measure(task, batch, stage, layout, precision, device)
        for layout, precision in itertools.product(layouts, precisions)
    }
    layout, precision = min(seconds, key=lambda candidate: seconds[candidate])
    for (one_layout, one_precision), value in seconds.items():
        name = "channels_last" if one_layout else "contiguous"
        log.info("trial: %s, %s: %.0f ms a step", name, one_precision, 1000 * value)
    settled = copy.deepcopy(config)
    settled.trainer.channels_last, settled.trainer.precision = layout, precision
    return settled


def _measure(
    task: Task, batch: Batch, stage: PlannedStage, layout: bool, precision: str, device: torch.device
) -> float:
    model = copy.deepcopy(task).to(device)
    model.set_layout(layout)
    model.train_groups(stage)
    model.train()
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = F.cross_entropy(model(batch["image"]).float(), batch["target"])
        loss.backward()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
