"""The data and the network of a configuration."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from tlx.adaptation import Adaptation
from tlx.building.nodes import build_node
from tlx.building.safety import refuse_foreign_targets
from tlx.data.datamodule import ImageDataModule
from tlx.strategies.monitor import monitored
from tlx.tasks.base import Task
from tlx.training import distributed
from tlx.training.first_step import need_possible
from tlx.training.optimizers import build_optimizer
from tlx.training.planning import build_backbone, plan


def build(config: DictConfig) -> tuple[ImageDataModule, Task]:
    """Build the data and the task of a configuration: the network with its weights and a new head."""
    refuse_foreign_targets(OmegaConf.to_container(config, resolve=True), "the configuration")
    pl.seed_everything(config.seed, verbose=False)
    backbone = build_backbone(config)
    adapts = config.strategy.get("adapt") is not None
    data = ImageDataModule(
        config.dataset, backbone.preprocessing, config.seed, config.cache.view_seed, config.get("target"), adapts
    )
    data.prepare_data()
    data.setup()
    data.need_trainable()
    pl.seed_everything(config.seed, verbose=False)  # the head starts the same whatever was drawn before it
    task: Task = build_node(config.task, "task", backbone=backbone, class_names=data.class_names)
    task.set_class_counts(data.class_counts)
    task.monitor, task.mode = monitored(config)
    optimizer: Any = OmegaConf.to_container(config.optimizer, resolve=True)
    task.make_optimizer = partial(build_optimizer, optimizer)
    if adapts:
        adaptation: Adaptation = build_node(config.strategy.adapt, "strategy.adapt")
        adaptation.build(task, data)
        task.adaptation = adaptation
    count = distributed.processes(config) * config.trainer.num_nodes
    need_possible(task, data, plan(config, task.group_names), [stage.name for stage in config.strategy.stages], count)
    return data, task
