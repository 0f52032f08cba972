"""Settle `auto` for layout, precision and torch.compile by a few training steps of each candidate."""

from __future__ import annotations

import copy
import itertools
import logging
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn import functional as F

from tlx.data.datamodule import ImageDataModule
from tlx.features.pooled import TRIED, fastest
from tlx.records.settled import KEPT
from tlx.strategies.plan import PlannedStage
from tlx.strategies.selectors import HEAD
from tlx.tasks.base import Batch, Task

log = logging.getLogger("tlx")
STEPS = 3  # timed after those that warm up
QUICK = 5.0  # seconds in which the smallest networks are compiled
HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def needs_timing(config: DictConfig) -> bool:
    """Return whether a choice is left to a measurement."""
    return any(config.trainer[key] == "auto" for key in KEPT)


def settle(config: DictConfig, task: Task, data: ImageDataModule, stages: Sequence[PlannedStage]) -> DictConfig:
    """Return the configuration with the fastest layout, precision and torch.compile or not in place of `auto`.

    Each candidate takes a few training steps of the last stage, which trains most, on one real batch; the choice and
    the milliseconds are logged; `data` is told how long a step takes.
    """
    trainer = config.trainer
    layouts = [True, False] if trainer.channels_last == "auto" else [bool(trainer.channels_last)]
    precisions = ["32-true", "bf16-mixed"] if trainer.precision == "auto" else [str(trainer.precision)]
    device = torch.device("cuda" if torch.cuda.is_available() and trainer.accelerator != "cpu" else "cpu")
    loader: Any = data.train_dataloader()
    drawn: Batch = next(iter(loader))
    batch: Batch = {"image": drawn["image"].to(device), "target": drawn["target"].to(device)}
    seconds = {
        (layout, precision): _measure(task, batch, stages[-1], layout, precision, device)[0]
        for layout, precision in itertools.product(layouts, precisions)
    }
    layout, precision = min(seconds, key=lambda candidate: seconds[candidate])
    for (one_layout, one_precision), value in seconds.items():
        name = "channels_last" if one_layout else "contiguous"
        log.info("timing: %s, %s: %.0f ms a step", name, one_precision, 1000 * value)
    data.step_seconds = seconds[layout, precision]
    settled = copy.deepcopy(config)
    settled.trainer.channels_last, settled.trainer.precision = layout, precision
    if trainer.compile == "auto":
        batches = min(len(loader), trainer.limit_batches or len(loader))
        eager = seconds[layout, precision]
        settled.trainer.compile = _try_compiling(task, batch, stages, layout, precision, device, batches, eager)
    return settled


def settle_forward(config: DictConfig, task: Task, data: ImageDataModule) -> DictConfig:
    """Return the configuration with the layout and precision in which features are computed fastest."""
    trainer = config.trainer
    loader: Any = data.images_of("train", range(min(TRIED, data.sizes["train"])))
    batch: Batch = next(iter(loader))
    way = fastest(task.backbone, batch["image"], trainer.precision, trainer.channels_last)
    settled = copy.deepcopy(config)
    settled.trainer.channels_last, settled.trainer.precision = way.channels_last, way.precision
    settled.trainer.compile = False  # nothing is run twice
    return settled


def compile_pays(eager_ms: float, compiled_ms: float, compile_seconds: float, steps: int) -> bool:
    """Return whether so many compiled steps, and what compiling takes, are less than the same steps as they are.

    Args:
        eager_ms: Milliseconds of a step without torch.compile.
        compiled_ms: Of one with it, compiled already.
        compile_seconds: Of all compilations of the run together.
        steps: Planned training steps that go through the compiled network.
    """
    return (eager_ms - compiled_ms) / 1000 * steps > compile_seconds


def _try_compiling(
    task: Task,
    batch: Batch,
    stages: Sequence[PlannedStage],
    layout: bool,
    precision: str,
    device: torch.device,
    batches: int,
    eager: float,
) -> bool:
    training = [stage for stage in stages if set(stage.trained) - {HEAD}]  # others train above what is cached
    steps = batches * sum(stage.epochs for stage in training)
    # Nothing is compiled if it could not pay even where a compiled step took no time.
    if not compile_pays(1000 * eager, 0.0, QUICK, steps):
        log.info("timing: torch.compile: too few steps (%d) of %.0f ms to pay; off", steps, 1000 * eager)
        return False
    try:
        compiled, first = _measure(task, batch, stages[-1], layout, precision, device, compiled=True)
    except Exception as error:  # no compiler, or a network that cannot be compiled
        log.info("timing: torch.compile: off, for it ends in %s: %s", type(error).__name__, str(error).split("\n")[0])
        return False
    finally:
        torch.compiler.reset()
    compilations = len(training) + 1  # what trains decides the code; evaluation has its own
    pays = compile_pays(1000 * eager, 1000 * compiled, compilations * first, steps)
    log.info(
        "timing: torch.compile: %.0f ms a step, compiling takes %.0f s, %d times, for %d steps: %s",
        1000 * compiled, first, compilations, steps, "on" if pays else "off",
    )  # fmt: skip
    return pays


def _measure(
    task: Task,
    batch: Batch,
    stage: PlannedStage,
    layout: bool,
    precision: str,
    device: torch.device,
    compiled: bool = False,
) -> tuple[float, float]:
    """Return the seconds of a step, and those that the first one took longer."""
    model = copy.deepcopy(task).to(device)
    model.set_layout(layout)
    model.train_groups(stage)
    model.train()
    if compiled:
        model.backbone.compile()
    times = []
    for _ in range(STEPS + 1 + int(compiled)):
        start = time.perf_counter()
        with torch.autocast(device.type, HALF.get(precision, torch.bfloat16), enabled=precision in HALF):
            loss = F.cross_entropy(model(batch["image"]).float(), batch["target"])
        loss.backward()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    step = statistics.median(times[-STEPS:])
    return step, sum(times[:-STEPS]) - (len(times) - STEPS) * step
