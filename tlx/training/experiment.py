"""Build the data and the network of a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from tlx.adaptation import Adaptation
from tlx.backbones.backbone import Backbone
from tlx.base.errors import TlxError
from tlx.building.nodes import build_node
from tlx.building.safety import refuse_foreign_targets
from tlx.callbacks.trial_place import TRIAL
from tlx.data.datamodule import ImageDataModule
from tlx.features.image_shelf import ImageShelf
from tlx.features.store import Store
from tlx.strategies.monitor import monitored
from tlx.tasks.learner import Learning
from tlx.tasks.module import Task
from tlx.training.devices import processes
from tlx.training.first_step import need_possible
from tlx.training.micro_batch import need_sums_over_images
from tlx.training.optimizers import build_optimizer
from tlx.training.planning import build_backbone, plan, recomputed_groups

# From the configuration, the backbone and the number of classes to the arguments that replace the task's own head.
MakeHead = Callable[[DictConfig, Backbone, int], dict[str, Any]]


def build(config: DictConfig, make_head: MakeHead | None = None) -> tuple[ImageDataModule, Task]:
    """Build the data and the task of a configuration: the network with its weights and a new head.

    Args:
        config: The configuration.
        make_head: Makes another head; None: the task makes its own.
    """
    refuse_foreign_targets(OmegaConf.to_container(config, resolve=True), "the configuration")
    pl.seed_everything(config.seed, verbose=False)
    backbone = build_backbone(config)
    own = backbone.preprocessing.short_side
    data = load_data(config, backbone)
    task = build_task(config, backbone, data, make_head)
    need_possible_network(config, task, data, own)
    return data, task


def need_possible_network(config: DictConfig, task: Task, data: ImageDataModule, own: int | None = None) -> None:
    """Refuse a network that cannot take a step on the images, see `need_possible`.

    Args:
        config: The configuration.
        task: The network.
        data: The images.
        own: The shorter side of the input that the network was trained with; None: the one it has now.
    """
    count = processes(config) * config.trainer.num_nodes
    stages = [stage.name for stage in config.strategy.stages]
    side = task.backbone.preprocessing.short_side if own is None else own
    planned = plan(config, task.group_names)
    need_possible(task, data, planned, stages, count, side)
    need_sums_over_images(config, task, planned)


def build_task(
    config: DictConfig, backbone: Backbone, data: ImageDataModule, make_head: MakeHead | None = None
) -> Task:
    """Build the task of a configuration for a backbone and loaded data; `make_head` as for `build`."""
    backbone.recomputed = recomputed_groups(config, backbone)
    pl.seed_everything(config.seed, verbose=False)  # the head's initial weights must not depend on earlier draws
    optimizer: Any = OmegaConf.to_container(config.optimizer, resolve=True)
    learning = Learning(
        monitor=monitored(config),
        make_optimizer=partial(build_optimizer, optimizer),
        adapt=partial(_adaptation, config.strategy.adapt, data) if data.paired else None,
        class_counts=data.class_amounts,
        box_sides=data.box_sides,
        most_objects=data.most_objects,
    )
    more = {} if make_head is None else make_head(config, backbone, data.num_classes)
    task: Task = build_node(
        config.task, "task", backbone=backbone, class_names=data.class_names, learning=learning, **more
    )
    return task


def load_data(config: DictConfig, backbone: Backbone) -> ImageDataModule:
    """Load the data of a configuration; a backbone whose images have boxes gets the size that these are resized to.

    Raises:
        TlxError: The data cannot be trained on.
    """
    adapts = config.strategy.get("adapt") is not None
    data = ImageDataModule(
        config.dataset, backbone.preprocessing, config.seed, config.cache.view_seed, config.get("target"), adapts,
        backbone.fixed_size, config.trainer.accumulate_grad_batches, image_shelf(config),
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    data.need_trainable()
    if not data.validates:
        _refuse_waiting(config)
    set_input_size(backbone, data)
    return data


def image_shelf(config: DictConfig) -> ImageShelf | None:
    """Return where decoded images are stored; None if nothing is, or nothing can be."""
    if not config.cache.enabled:
        return None
    try:
        store = Store(config.cache.dir, float(config.cache.max_gb), make=False)
    except TlxError:  # which is said where the outputs of frozen layer groups are stored
        return None
    return ImageShelf(store, os.path.abspath(os.path.expanduser(config.run_dir)), str(config.dataset.get("name", "")))


def _refuse_waiting(config: DictConfig) -> None:
    """Refuse what waits for figures of validation images where there are none.

    Raises:
        TlxError: The message names the key.
    """
    waiting = {f"strategy.stages.{i}.patience": stage.get("patience") for i, stage in enumerate(config.strategy.stages)}
    waiting["trainer.patience"] = config.trainer.patience
    for key, epochs in waiting.items():
        if epochs is not None:
            raise TlxError(
                f"{key}: expected null without validation images, got {epochs}; type {key}=null, or keep some: "
                "dataset.val_fraction=0.2"
            )
    if TRIAL in os.environ:
        raise TlxError(
            "dataset.val_fraction: expected a fraction above 0 in a search, which compares figures of validation "
            "images, got 0; for example dataset.val_fraction=0.2"
        )


def set_input_size(backbone: Backbone, data: ImageDataModule) -> None:
    """Tell a backbone the size of its inputs and, if images have boxes, how whole images are resized."""
    backbone.usual_size = data.preprocessing.height_width
    if data.preprocessing.sides is not None:  # the task resizes whole images as those that it learned from
        backbone.preprocessing = data.preprocessing


def _adaptation(node: DictConfig, data: ImageDataModule, task: Task) -> Adaptation:
    adaptation: Adaptation = build_node(node, "strategy.adapt")
    adaptation.build(task, data)
    return adaptation
