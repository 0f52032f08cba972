"""The callback that fits a classifier of scikit-learn on the features of the training images."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.base.ranks import rank_and_world
from tlx.data.batches.sampler import EpochSampler
from tlx.data.datamodule import ImageDataModule
from tlx.features.classical_head import ClassicalHead
from tlx.features.classifiers import fit, from_bytes, to_bytes
from tlx.features.prefix_cache import Boundary, Numerics, PrefixCache, Request
from tlx.tasks.module import Task

log = logging.getLogger("tlx")


class MemoryRows:
    """Rows that lie in memory.

    Args:
        rows: One for each image of a split (N, F).
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def take(self, index: Tensor) -> Tensor:
        """Return rows (len(index), F)."""
        return self.rows[index]


class ClassicalFit(pl.Callback):
    """Fits the head before the first validation or test, and gives both the features in the place of images.

    Of several processes each computes its share of the features; the first one fits.

    Args:
        node: The classifier, a composed node as plain values.
        groups: Layer groups whose pooled outputs are the features, bottom to top.
        data: The images.
        cache: Keeps features for other runs; None: nothing is kept.
        limit: At most so many batches of each split; of the training images those that an epoch would begin with.
        settings: Further arguments of `tlx.features.classifiers.fit`.
    """

    def __init__(
        self, node: Mapping[str, Any], groups: Sequence[str], data: ImageDataModule, cache: PrefixCache | None,
        limit: int | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        self.node, self.groups, self.data, self.cache, self.settings = node, list(groups), data, cache, settings
        self.limit = limit
        self._boundary: Boundary | None = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit, and have the features of what is looked at ready."""
        self._prepare(trainer, pl_module, self.data.selected_on)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """As for validation."""
        self._prepare(trainer, pl_module, ("test",))

    def _prepare(self, trainer: pl.Trainer, task: pl.LightningModule, splits: Sequence[str]) -> None:
        assert isinstance(task, Task)
        assert isinstance(task.head, ClassicalHead)
        precision, context = trainer.precision, trainer.precision_plugin.forward_context
        how = Numerics(precision, context) if self.cache is None else self.cache.numerics(task, precision, context)
        if self.cache is not None and self._boundary is None:
            images = sum(self.data.sizes[split] for split in ("train", *self.data.selected_on, "test"))
            self._boundary = self.cache.outputs(task, self.groups, images, how)
        if task.head.estimator is None:
            self._fit(task, task.head, how)
        last = task.backbone.group_names[-1]  # nothing of the network is left to be run
        for split in splits:
            if self.data.sizes[split]:
                self.data.feed(split, {last: MemoryRows(self._features(task, split, how))})

    def _fit(self, task: Task, head: ClassicalHead, how: Numerics) -> None:
        features = self._features(task, "train", how).double().numpy()
        content = [b""]
        if rank_and_world()[0] == 0:
            start = time.perf_counter()
            places = self._places("train")
            samples, groups = self.data.splits["train"].samples, self.data.sample_groups("train")
            labels = np.array([samples[i].target for i in places])
            fitted = fit(self.node, features, labels, groups=[groups[i] for i in places], **self.settings)
            seconds = time.perf_counter() - start
            chosen = ", ".join(f"{key} {value}" for key, value in fitted.chosen.items())
            score = (
                "" if fitted.score is None else f" ({self.settings.get('scoring')} {fitted.score:.4f} over the folds)"
            )
            log.info(
                "%s on %d features of %d images in %.1f s%s%s", self.node["name"], features.shape[1], len(labels),
                seconds, f": {chosen}" if chosen else "", score,
            )  # fmt: skip
            content = [to_bytes(fitted.estimator)]
        if rank_and_world()[1] > 1:
            dist.broadcast_object_list(content)
        head.estimator = from_bytes(content[0])  # what is judged is what will be read again

    def _features(self, task: Task, split: str, how: Numerics) -> Tensor:
        """Return the features of the images of a split at `_places`, float32 (N, F)."""
        if self.cache is None or self._boundary is None:
            return self._computed(task, split, how)
        rows = self.cache.rows(task, Request(split, None, self._boundary), how)
        if rows is None:  # it cannot be written
            self._boundary = None
            return self._computed(task, split, how)
        places = torch.tensor(self._places(split))
        return torch.cat([one.take(places).float() for one in rows.values()], 1)

    def _places(self, split: str) -> list[int]:
        """Return which images of a split are looked at."""
        size = self.data.sizes[split]
        if self.limit is None:
            return list(range(size))
        order = EpochSampler(size, self.data.seed, shuffle=split == "train")
        return [index for _, index in order][: self.limit * self.data.batch_size]

    @no_gradients()
    def _computed(self, task: Task, split: str, how: Numerics) -> Tensor:
        rank, world = rank_and_world()
        places = self._places(split)
        parts = []
        for batch in self.data.images_of(split, places[rank::world]):
            with how.context():
                parts.append(task.features(batch["image"].to(task.mean.device, non_blocking=True)).float().cpu())
        shares: list[Any] = [torch.cat(parts) if parts else None]
        if world > 1:
            shares = [None] * world
            dist.all_gather_object(shares, torch.cat(parts) if parts else None)
        width = next(share.shape[1] for share in shares if share is not None)
        whole = torch.empty(len(places), width)
        for first, share in enumerate(shares):
            if share is not None:
                whole[first::world] = share
        return whole
