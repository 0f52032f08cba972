"""The callback that fits a scikit-learn classifier on the features of the training images."""

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

from tlx.base.errors import TlxError
from tlx.base.gradients import no_gradients
from tlx.base.ranks import rank_and_world
from tlx.data.batches.sampler import EpochSampler
from tlx.data.datamodule import ImageDataModule
from tlx.data.labels import CLASSES
from tlx.features.boundary import Boundary, Numerics, Request
from tlx.features.classical_head import ClassicalHead
from tlx.features.classifiers import fit, from_bytes, to_bytes
from tlx.features.prefix_cache import PrefixCache
from tlx.tasks.module import Task

log = logging.getLogger("tlx")


class MemoryRows:
    """Rows that are held in memory.

    Args:
        rows: One for each image of a split (N, F).
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.rows.device

    def take(self, index: Tensor) -> Tensor:
        """Return rows (len(index), F)."""
        return self.rows[index]


class ClassicalFit(pl.Callback):
    """Fits the head before the first validation or test, and feeds both with features instead of images.

    Each process computes its share of the features; process 0 fits the classifier.

    Args:
        node: The composed node of the classifier, as plain values.
        groups: Layer groups whose pooled outputs are the features, bottom to top.
        data: The images.
        cache: Stores the features for other runs; None: they are not stored.
        limit: Maximum number of batches of each split; for training, the first batches of an epoch.
        settings: Further arguments of `tlx.features.classifiers.fit`.

    Raises:
        TlxError: The labels are no classes.
    """

    def __init__(
        self, node: Mapping[str, Any], groups: Sequence[str], data: ImageDataModule, cache: PrefixCache | None,
        limit: int | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        kind = data.label_kind("train")
        if kind is None or kind.name != CLASSES.name:
            raise TlxError(
                f"classifier: expected images whose labels are classes, got labels of the kind "
                f"'{kind.name if kind else 'none'}'; leave classifier out: strategy=linear_probe"
            )
        self.node, self.groups, self.data, self.cache, self.settings = node, list(groups), data, cache, settings
        self.limit = limit
        self._boundary: Boundary | None = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit the head if necessary, and prepare the features of the splits that select the best weights."""
        self._prepare(trainer, pl_module, self.data.selected_on)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit the head if necessary, and prepare the features of the test split."""
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
        last = task.backbone.group_names[-1]  # no part of the network has to run
        for split in splits:
            if self.data.sizes[split]:
                self.data.feed(split, {last: MemoryRows(self._features(task, split, how))})

    def _fit(self, task: Task, head: ClassicalHead, how: Numerics) -> None:
        features = self._features(task, "train", how).double().numpy()
        content = [b""]
        if rank_and_world()[0] == 0:
            start = time.perf_counter()
            indices = self._indices("train")
            samples, groups = self.data.splits["train"].samples, self.data.sample_groups("train")
            labels = np.array([samples[i].target for i in indices])
            fitted = fit(self.node, features, labels, groups=[groups[i] for i in indices], **self.settings)
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
        head.estimator = from_bytes(content[0])  # evaluate the classifier that a checkpoint restores

    def _features(self, task: Task, split: str, how: Numerics) -> Tensor:
        """Return the features of the images of a split at `_indices`, float32 (N, F)."""
        if self.cache is None or self._boundary is None:
            return self._computed(task, split, how)
        rows = self.cache.rows(task, Request(split, None, self._boundary), how)
        if rows is None:  # the cache cannot be written
            self._boundary = None
            return self._computed(task, split, how)
        indices = torch.tensor(self._indices(split))
        return torch.cat([one.take(indices).float() for one in rows.values()], 1)

    def _indices(self, split: str) -> list[int]:
        """Return the indices of the images of a split that are used."""
        size = self.data.sizes[split]
        if self.limit is None:
            return list(range(size))
        order = EpochSampler(size, self.data.seed, shuffle=split == "train")
        return [index for _, index in order][: self.limit * self.data.evaluated_share(1)]

    @no_gradients()
    def _computed(self, task: Task, split: str, how: Numerics) -> Tensor:
        rank, world = rank_and_world()
        indices = self._indices(split)
        parts = []
        for batch in self.data.images_of(split, indices[rank::world]):
            with how.context():
                parts.append(task.features(batch["image"].to(task.mean.device, non_blocking=True)).float().cpu())
        shares: list[Any] = [torch.cat(parts) if parts else None]
        if world > 1:
            shares = [None] * world
            dist.all_gather_object(shares, torch.cat(parts) if parts else None)
        width = next(share.shape[1] for share in shares if share is not None)
        whole = torch.empty(len(indices), width)
        for first, share in enumerate(shares):
            if share is not None:
                whole[first::world] = share
        return whole
