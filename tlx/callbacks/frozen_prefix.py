"""Feed each stage the cached output of its frozen prefix instead of images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
import torch

from tlx.base.compat.torch import BatchNorm
from tlx.callbacks.stages import Stages
from tlx.features.boundary import Boundary, Numerics, Request
from tlx.features.prefix_cache import PrefixCache
from tlx.features.resident import Residents
from tlx.features.rows import CachedRows
from tlx.strategies.plan import PlannedStage, frozen_prefix
from tlx.tasks.module import Task

log = logging.getLogger("tlx")


class FrozenPrefix(pl.Callback):
    """Feeds each stage the output of its frozen prefix instead of images, for training and for validation.

    This changes no result: without cached rows a stage computes the same output from the images. The callback also
    selects the augmentation of a stage with a frozen prefix: `views` fixed views of each image in turn, or, if 0, a new
    one each epoch.

    Args:
        stages: The callback that runs the plan; it runs before this one.
        cache: The source of rows; None: every stage computes from images.
        views: Number of augmented views of an image; of crops, for each part of the image as large as a crop.
    """

    def __init__(self, stages: Stages, cache: PrefixCache | None, views: int) -> None:
        self.stages, self.cache, self.views = stages, cache, views
        self._prepared: int | None = None  # the stage for which boundaries were chosen
        self._boundaries: list[Boundary | None] = []  # of this stage and the later ones
        self._resident: Residents | None = None  # the rows of this stage that are in memory

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prepare the data of a run that resumes in the middle of an epoch."""
        if trainer.fit_loop.restarted_mid_epoch:
            self._prepare(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prepare the data of this epoch."""
        self._prepare(trainer, pl_module)

    def _prepare(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        assert isinstance(task, Task)
        data = trainer.datamodule  # type: ignore[attr-defined]
        prefix = unchanged_prefix(task, self.stages.running)
        augmented = any(data.augmented(split) for split in data.trained_on)
        views = data.crop_views(self.views) if prefix and augmented else 0
        data.take_turns(views, self.stages.first_epoch)
        fed: dict[str, Mapping[str, CachedRows] | None] = dict.fromkeys((*data.trained_on, *data.selected_on))
        drawn: dict[str, int | None] = {}  # the view of a split's rows
        boundary: Boundary | None = None
        if self.cache is not None and not self.cache.failed and prefix:
            how = self.cache.numerics(task, trainer.precision, trainer.precision_plugin.forward_context)
            boundary, *later = self._choose(self.cache, task, how)
            if boundary is not None:
                comes = [b for b in later if b is not None]
                for split in data.selected_on:
                    fed[split] = self._rows(self.cache, task, split, None, boundary, comes, how)
                if views or not augmented:
                    turn = (trainer.current_epoch - self.stages.first_epoch) % views if views else 0
                    also = [b for b, s in zip(later, self._coming, strict=True) if b and turn < s.epochs]
                    for split in data.trained_on:
                        view = turn if data.augmented(split) else None
                        fed[split] = self._rows(self.cache, task, split, view, boundary, also, how)
                        drawn[split] = view
        if any(fed[split] is None for split in data.trained_on):  # then all of them come from images
            fed |= dict.fromkeys(data.trained_on)
        if boundary is None:  # release the rows of the previous stage
            self._resident = None
        for split, rows in fed.items():
            labels = None if self.cache is None or rows is None else self.cache.labels(split, drawn.get(split))
            if rows is None or self._resident is None:
                data.feed(split, rows, labels)
            else:
                data.feed(split, *self._resident.of(rows, labels))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Release the memory."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        for split in (*data.trained_on, *data.selected_on):
            data.feed(split, None)
        self._resident = None

    @property
    def _coming(self) -> list[PlannedStage]:
        return self.stages.stages[self.stages.index + 1 :]

    def _choose(self, cache: PrefixCache, task: Task, how: Numerics) -> list[Boundary | None]:
        """Return the boundaries of this stage and the later ones; None if a later stage's prefix changes before it."""
        if self._prepared != self.stages.index:
            self._prepared = self.stages.index
            # Moved labels and pairs of domains are put together on the host.
            host = cache.data.paired or cache.stores_labels
            self._resident = Residents(torch.device("cpu") if host else task.mean.device)
            self._boundaries = [self._boundary(cache, task, self.stages.running, how)]
            now, trained = unchanged_prefix(task, self.stages.running), set(self.stages.running.trained)
            for stage in self._coming:
                prefix = set(unchanged_prefix(task, stage))
                unchanged = self._boundaries[0] is not None and prefix < set(now) and not trained & prefix
                self._boundaries.append(self._boundary(cache, task, stage, how) if unchanged else None)
                trained |= set(stage.trained)
        return self._boundaries

    def _boundary(self, cache: PrefixCache, task: Task, stage: PlannedStage, how: Numerics) -> Boundary | None:
        prefix = unchanged_prefix(task, stage)
        if not prefix:
            return None
        data, sizes = cache.data, cache.data.sizes
        views = data.crop_views(self.views)
        drawn = {s: min(views, stage.epochs) if data.augmented(s) else 1 for s in data.trained_on}
        images = sum(sizes[s] * count for s, count in drawn.items()) + sum(
            sizes[s] for s in (*data.selected_on, "test")
        )
        found = cache.boundary(task, prefix, images, how)
        if stage is self.stages.running:
            if found is None:
                log.info("cache: no output of %s fits: stage %s trains from images", "..".join(prefix), stage.name)
            elif found.name != prefix[-1]:
                log.info("cache: stage %s trains from the output of %s instead", stage.name, found.name)
        return found

    def _rows(
        self, cache: PrefixCache, task: Task, split: str, view: int | None, boundary: Boundary,
        also: Sequence[Boundary], how: Numerics,
    ) -> Mapping[str, CachedRows] | None:  # fmt: skip
        if not cache.data.sizes[split]:
            return None
        distinct = {b.name: b for b in also if b.name != boundary.name}
        return cache.rows(task, Request(split, view, boundary, tuple(distinct.values())), how)


class UntouchedPrefix(pl.Callback):
    """Feeds the test the output of the groups that no stage trained, instead of images.

    Args:
        stages: The plan.
        cache: The source of rows.
    """

    def __init__(self, stages: Sequence[PlannedStage], cache: PrefixCache) -> None:
        self.stages, self.cache = stages, cache

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prepare the rows of the test split."""
        task, data = pl_module, self.cache.data
        assert isinstance(task, Task)
        prefix = min((unchanged_prefix(task, stage) for stage in self.stages), key=len)
        if not prefix or not data.sizes["test"] or data.in_parts:  # whole images have outputs of different sizes
            return
        how = self.cache.numerics(task, trainer.precision, trainer.precision_plugin.forward_context)
        boundary = self.cache.boundary(task, prefix, data.sizes["test"], how)
        if boundary is not None:
            rows = self.cache.rows(task, Request("test", None, boundary), how)
            data.feed("test", rows, None if rows is None else self.cache.labels("test", None))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Return to images."""
        self.cache.data.feed("test", None)


def unchanged_prefix(task: Task, stage: PlannedStage) -> tuple[str, ...]:
    """Return the bottom groups whose output stays constant during a stage: no weight or statistic of them changes."""
    prefix: list[str] = []
    trained = {id(p) for group in stage.trained for p in task.group_parameters(group)}
    for name in frozen_prefix(stage, task.group_names, task.upper_groups):
        modules = [part for module in task.group_modules(name) for part in module.modules()]
        moves = stage.batch_norm == "adapt" and any(isinstance(part, BatchNorm) for part in modules)
        # A weight shared with a trained group above trains, too.
        if moves or any(id(p) in trained for p in task.group_parameters(name)):
            break
        prefix.append(name)
    return tuple(prefix)
