"""The pooled outputs of a backbone's layer groups for the images of a configuration, from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.base.interruption import Interruption
from tlx.building.safety import refuse_foreign_targets
from tlx.data.datamodule import ImageDataModule
from tlx.features.boundary import Numerics, Request
from tlx.features.precision import autocast
from tlx.records.settled import settle, undecided
from tlx.tasks.module import Task
from tlx.training.experiment import build_task, load_data
from tlx.training.planning import build_backbone
from tlx.training.resolvers import COMPUTATION
from tlx.training.timing import ForwardPasses, device_of_steps
from tlx.training.trainer import build_cache


@dataclass
class Network:
    """A network with its weights, on its device, and its images.

    Args:
        config: The configuration, with values for `auto`.
        data: The images.
        task: The network; its head is not used.
    """

    config: DictConfig
    data: ImageDataModule
    task: Task

    @classmethod
    def of(cls, config: DictConfig, place: Path) -> Network:
        """Build the network of a configuration.

        Args:
            config: The configuration.
            place: The folder of the results, which owns what the cache stores for it.
        """
        config = config.copy()
        OmegaConf.update(config, "run_dir", str(place))
        refuse_foreign_targets(OmegaConf.to_container(config, resolve=True), "the configuration")
        pl.seed_everything(config.seed, verbose=False)  # random weights are those that a training begins with
        backbone = build_backbone(config)
        data = load_data(config, backbone)
        task = build_task(config, backbone, data)
        if undecided(config):
            config = settle(config, COMPUTATION, ForwardPasses(config, data, task))
        task.to(device_of_steps(config)).eval()
        task.set_memory_format(bool(config.trainer.channels_last))
        return cls(config, data, task)

    @property
    def name(self) -> str:
        """Name of the backbone."""
        return str(self.config.backbone.name)

    @property
    def groups(self) -> list[str]:
        """The layer groups of the backbone, bottom to top."""
        return self.task.backbone.group_names

    def outputs(self, splits: Sequence[str], groups: Sequence[str], interruption: Interruption) -> dict[str, Tensor]:
        """Return the pooled outputs of layer groups for the images of some splits: float32 (N, channels) by group.

        They are read from the cache, or computed in one pass for all groups and stored there.
        """
        precision, device = str(self.config.trainer.precision), self.task.mean.device
        how = Numerics(precision, lambda: autocast(device, precision))
        cache = build_cache(self.config, self.data, interruption)
        found: dict[str, list[Tensor]] = {group: [] for group in groups}
        boundary = None
        if cache is not None:
            how = cache.numerics(self.task, precision, how.context)
            images = sum(self.data.sizes[split] for split in splits)
            boundary = cache.outputs(self.task, groups, images, how)
        for split in splits:
            if not (size := self.data.sizes[split]):
                continue
            rows = None
            if cache is not None and boundary is not None:
                rows = cache.rows(self.task, Request(split, None, boundary), how)
            if rows is not None:
                for group, of_group in rows.items():
                    found[group].append(of_group.take(torch.arange(size)).float())
            else:
                for group, computed in self._computed(split, groups, how).items():
                    found[group].append(computed)
        return {group: torch.cat(parts) for group, parts in found.items()}

    @no_gradients()
    def _computed(self, split: str, groups: Sequence[str], how: Numerics) -> dict[str, Tensor]:
        parts: dict[str, list[Tensor]] = {group: [] for group in groups}
        for batch in self.data.images_of(split, range(self.data.sizes[split])):
            with how.context():
                image = self.task.normalise(batch["image"].to(self.task.mean.device, non_blocking=True))
                for group, rows in self.task.backbone.run(image, outputs=groups, pooled=True).items():
                    parts[group].append(rows.float().cpu())
        return {group: torch.cat(rows) for group, rows in parts.items()}
