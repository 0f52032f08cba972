"""Estimate how long a training takes, from a short trial on this machine: random weights, a few training images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from tlx.callbacks.frozen_prefix import unchanged_prefix
from tlx.data.batches.reading_processes import seconds_an_image
from tlx.data.datamodule import ImageDataModule
from tlx.data.labelled import VAL_TILES
from tlx.data.reading.workers import cores_here
from tlx.features.precision import autocast
from tlx.strategies.plan import PlannedStage
from tlx.tasks.network import Batch
from tlx.training.devices import processes
from tlx.training.experiment import build_task, set_input_size
from tlx.training.planning import build_backbone
from tlx.training.timing import device_of_steps

_ROUNDS, _PATIENCE = 4, 1.2  # times that each part of a training is timed, unless it takes so many seconds before
_ENOUGH = 2 * 256 * 256  # pixels of a batch that keeps the cores of a CPU busy
_GB = 1e9


@dataclass(frozen=True)
class Seconds:
    """Estimated seconds of a run, without its start and its review.

    Args:
        training: Training steps, with the computation of cached maps.
        validation: Validation and test.
    """

    training: float
    validation: float

    def describe(self, device: str, trial: float) -> str:
        """Return one line; `trial` is how many seconds the trial took."""
        total = _shown(self.training + self.validation)
        parts = f"training {_shown(self.training)}, validation and test {_shown(self.validation)}"
        return f"estimate: about {total} on this machine ({device}): {parts}; from a trial of {trial:.0f} s"


def minutes_line(config: DictConfig, data: ImageDataModule, loader: Any, stages: Sequence[PlannedStage]) -> str:
    """Return how long the stages of a task on maps take if each takes all its epochs, as one line.

    Args:
        config: The configuration.
        data: Its images, read without reading processes.
        loader: The loader of their training batches.
        stages: The planned stages.
    """
    start = time.perf_counter()
    trial = Trial(config, data, loader)
    seconds = trial.of(stages)
    return seconds.describe(trial.device.type.upper().replace("CUDA", "GPU"), time.perf_counter() - start)


class Trial:
    """Times steps, validation and frozen groups of a network with random weights on the first training images.

    Args:
        config: The configuration.
        data: Its images, read without reading processes.
        loader: The loader of their training batches.
    """

    def __init__(self, config: DictConfig, data: ImageDataModule, loader: Any) -> None:
        backbone = build_backbone(config, load=False)
        set_input_size(backbone, data)
        self.config, self.data, self.device = config, data, device_of_steps(config)
        self.task = build_task(config, backbone, data).to(self.device)
        self.task.set_memory_format(bool(config.trainer.channels_last))
        count: int = processes(config) * config.trainer.num_nodes
        self.share = max(1, data.batch_size(count) // count)  # images of a step
        read = seconds_an_image(loader.dataset) or 0.0
        batch: Batch = next(iter(loader))
        few = self.share if self.device.type == "cuda" else -(-_ENOUGH // math.prod(data.preprocessing.height_width))
        self.batch = {name: batch[name][:few].to(self.device) for name in ("image", "target", "index")}
        self.few = len(self.batch["image"])
        self.read = read / cores_here() if self.device.type == "cuda" else read  # a CPU does not train meanwhile

    def of(self, stages: Sequence[PlannedStage], tested: bool = True) -> Seconds:
        """Return the seconds of the stages and, if it is included, of the test."""
        sizes = self.data.sizes
        drawn = self._limited(sizes["train"])  # images an epoch
        tiles = self._limited(sizes[self._validated])
        whole = (sizes["test"] if tested else 0) + (sizes["val"] * len(stages) if self.data.whole_differs else 0)
        evaluated = self._timed(self._evaluate)
        training, filled = 0.0, 0.0
        validation = self._limited(whole) * self.data.crops_per_image * (evaluated + self.read)
        for stage in stages:
            self.task.train_groups(stage)
            rows = self._stored(stage)
            step = self._timed(partial(self._step, rows))
            below, read = (0.0, self.read) if rows is None else (self._timed(self._forward(stage)), 0.0)
            training += stage.epochs * drawn * (step + read)
            validation += stage.epochs * tiles * max(evaluated - below + read, 0.0)
            if rows is not None:  # one pass serves later stages
                filled = max(filled, (below + self.read) * (self._views(stage) * sizes["train"] + tiles))
        return Seconds(training + filled, validation)

    @property
    def _validated(self) -> str:
        """The split that is validated in an epoch."""
        return VAL_TILES if VAL_TILES in self.data.sizes else "val"

    def _timed(self, work: Callable[[], object]) -> float:
        """Return the seconds that some work takes for one image: the least of a few times."""
        times: list[float] = []
        while len(times) < _ROUNDS and sum(times) < _PATIENCE:
            start = time.perf_counter()
            with autocast(self.device, str(self.config.trainer.precision)):
                work()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return min(times) / self.few

    def _step(self, rows: Mapping[str, Tensor] | None) -> None:
        self.task.train()
        batch = self.batch if rows is None else {"prefix": rows, "target": self.batch["target"]}
        self.task.loss(batch).backward()
        self.task.zero_grad(set_to_none=True)

    def _evaluate(self) -> None:
        self.task.eval()
        with torch.no_grad():
            self.task.validation_step(self.batch, 0)

    def _forward(self, stage: PlannedStage) -> Callable[[], dict[str, Tensor]]:
        """Return what computes the maps that the groups above the frozen ones of a stage read."""
        prefix, backbone = unchanged_prefix(self.task, stage), self.task.backbone
        names = [*(name for name in prefix[:-1] if name in self.task.reads), prefix[-1]]
        pooled = False if self.task.kind.reads_maps and prefix[-1] == backbone.group_names[-1] else None

        def run() -> dict[str, Tensor]:
            self.task.eval()
            with torch.no_grad():
                return backbone.run(self.task.normalise(self.batch["image"]), outputs=names, pooled=pooled)

        return run

    def _stored(self, stage: PlannedStage) -> dict[str, Tensor] | None:
        """Return the maps (B, C, h, w) from which a stage trains if they are cached; None: it trains from images."""
        cache = self.config.cache
        if not cache.enabled or self.config.trainer.limit_batches or not unchanged_prefix(self.task, stage):
            return None
        if not self._views(stage):
            return None
        rows = self._forward(stage)()
        images = self._views(stage) * self.data.sizes["train"] + self.data.sizes[self._validated]
        return rows if sum(row.nbytes for row in rows.values()) / self.few * images < cache.max_gb * _GB else None

    def _views(self, stage: PlannedStage) -> int:
        """Return how many views of each training image a stage draws if its maps are cached."""
        if not self.data.augmented():
            return 1
        return min(self.data.crop_views(self.config.cache.views), stage.epochs)

    def _limited(self, images: int) -> int:
        limit: int | None = self.config.trainer.limit_batches
        return images if limit is None else min(images, limit * self.share)


def _shown(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
