"""Settle `auto` for memory format, precision and torch.compile by timing a few training steps of each candidate."""

from __future__ import annotations

import copy
import itertools
import logging
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from omegaconf import DictConfig

from tlx.data.datamodule import ImageDataModule
from tlx.features.pooled import TRIED, ComputeMode, candidates, fastest
from tlx.features.precision import autocast
from tlx.strategies.plan import PlannedStage
from tlx.tasks.module import Task
from tlx.tasks.network import Batch
from tlx.training.epoch_length import epoch_of
from tlx.training.planning import plan

log = logging.getLogger("tlx")
STEPS = 3  # timed steps, after the warm-up
QUICK = 5.0  # seconds that compiling the smallest networks takes


class Timing(ABC):
    """Times the network of a run on its own images, at most once per choice.

    Args:
        config: The configuration; memory format and precision are varied if they are `auto`.
        data: The images.
        task: The network; its weights are not changed.
    """

    def __init__(self, config: DictConfig, data: ImageDataModule, task: Task) -> None:
        self.config, self.data, self.task = config, data, task

    @cached_property
    @abstractmethod
    def mode(self) -> ComputeMode:
        """The fastest memory format and precision."""

    @abstractmethod
    def compiles(self) -> bool:
        """Return whether torch.compile saves more time than it takes."""

    def time_step(self) -> None:  # noqa: B027
        """Measure a training step on a GPU, if none was: the number of reading processes follows from it."""


class TrainingSteps(Timing):
    """Times a few training steps of the last stage, which trains the most, on one batch; logs the results."""

    @cached_property
    def mode(self) -> ComputeMode:
        """The memory format and precision of the fastest step; sets `data.step_seconds` to its duration."""
        formats, precisions = candidates(self.config.trainer.channels_last, str(self.config.trainer.precision))
        seconds = {
            ComputeMode(*one): _measure(self.task, self._batch, self._stages[-1], *one, self._device)[0]
            for one in itertools.product(formats, precisions)
        }
        for mode, value in seconds.items():
            log.info("timing: %s, %s: %.0f ms a step", mode.memory_format_name, mode.precision, 1000 * value)
        fastest = min(seconds, key=lambda mode: seconds[mode])
        self.data.step_seconds = seconds[fastest]
        return fastest

    def compiles(self) -> bool:
        """Return whether compiling and the compiled steps together take less time than the planned eager steps.

        Groups that are computed again in the backward pass are not compiled.
        """
        if self.task.backbone.recomputed:
            return False
        planned = self.data.training_batches(1)
        batches = min(planned, self.config.trainer.limit_batches or planned) * self.data.micro_batches(1)
        mode, eager = self.mode, self.data.step_seconds
        assert eager is not None  # `mode` has set it
        return _try_compiling(self.task, self._batch, self._stages, mode, self._device, batches, eager)

    def time_step(self) -> None:
        """Measure a step of the last stage on a GPU, if none was."""
        if self.data.step_seconds is None and self._device.type != "cpu":
            channels_last, precision = bool(self.config.trainer.channels_last), str(self.config.trainer.precision)
            stage = self._stages[-1]
            self.data.step_seconds = _measure(self.task, self._batch, stage, channels_last, precision, self._device)[0]

    @cached_property
    def _device(self) -> torch.device:
        return device_of_steps(self.config)

    @cached_property
    def _stages(self) -> list[PlannedStage]:
        return plan(self.config, self.task.group_names, epoch_of(self.config, self.data).steps)

    @cached_property
    def _batch(self) -> Batch:
        count = self.data.sizes["train"]
        size = min(self.data.trained_share(1), count)
        batch: Any = self.data.training_batch([k * count // size for k in range(size)], epoch=0)
        return on_device(batch, self._device)


class ForwardPasses(Timing):
    """Times the computation of features for procedures without gradients."""

    @cached_property
    def mode(self) -> ComputeMode:
        """The memory format and precision that compute features fastest."""
        loader: Any = self.data.images_of("train", range(min(TRIED, self.data.sizes["train"])))
        batch: Batch = next(iter(loader))
        trainer = self.config.trainer
        return fastest(self.task.backbone, batch["image"], trainer.precision, trainer.channels_last)

    def compiles(self) -> bool:
        """Return False: each image passes through the network only once."""
        return False


def device_of_steps(config: DictConfig) -> torch.device:
    """Return the device for timed steps: the first GPU, or the CPU if there is none or if it is configured."""
    return torch.device("cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu")


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return the entries of a batch that a step needs, on a device: images (B, C, H, W) and labels."""
    return {"image": batch["image"].to(device), "target": batch["target"].to(device)}


def compile_pays(eager_ms: float, compiled_ms: float, compile_seconds: float, steps: int) -> bool:
    """Return whether compiling and the compiled steps together take less time than the same steps without it.

    Args:
        eager_ms: Milliseconds per step without torch.compile.
        compiled_ms: Milliseconds per step with torch.compile, after compiling.
        compile_seconds: Seconds of all compilations of the run together.
        steps: Planned training steps that use the compiled network.
    """
    return (eager_ms - compiled_ms) / 1000 * steps > compile_seconds


def _try_compiling(
    task: Task,
    batch: Batch,
    stages: Sequence[PlannedStage],
    mode: ComputeMode,
    device: torch.device,
    batches: int,
    eager: float,
) -> bool:
    training = [stage for stage in stages if set(stage.trained) - {*task.upper_groups}]  # others train on the cache
    steps = batches * sum(stage.epochs for stage in training)
    # Do not try to compile if it could not pay off even with compiled steps that take no time.
    if not compile_pays(1000 * eager, 0.0, QUICK, steps):
        log.info("timing: torch.compile: too few steps (%d) of %.0f ms to pay off; off", steps, 1000 * eager)
        return False
    try:
        compiled, first = _measure(task, batch, stages[-1], mode.channels_last, mode.precision, device, compiled=True)
    except Exception as error:  # no compiler, or a network that cannot be compiled
        log.info("timing: torch.compile: off, it failed with %s: %s", type(error).__name__, str(error).split("\n")[0])
        return False
    finally:
        torch.compiler.reset()
    compilations = len(training) + 1  # each set of trained groups needs its own code, and so does evaluation
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
    channels_last: bool,
    precision: str,
    device: torch.device,
    compiled: bool = False,
) -> tuple[float, float]:
    """Return the seconds of a step, and the extra seconds of the warm-up steps."""
    model = copy.deepcopy(task).to(device)
    model.set_memory_format(channels_last)
    model.train_groups(stage)
    model.train()
    if compiled:
        model.backbone.compile()
    times = []
    for _ in range(STEPS + 1 + int(compiled)):
        start = time.perf_counter()
        with autocast(device, precision):
            loss = model.loss(batch)
        loss.backward()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    step = statistics.median(times[-STEPS:])
    return step, sum(times[:-STEPS]) - (len(times) - STEPS) * step
