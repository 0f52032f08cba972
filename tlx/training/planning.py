"""Build the backbone of a configuration, and resolve the selectors of its strategy for the backbone's layer groups."""

from __future__ import annotations

import logging
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch.overrides import TorchFunctionMode

from tlx.backbones.backbone import Backbone
from tlx.backbones.maps import for_maps
from tlx.base.errors import ConfigError
from tlx.building.nodes import build_node
from tlx.records.settled import AUTO
from tlx.strategies.checks import check_groups, check_plan
from tlx.strategies.plan import PlannedStage, plan_stages
from tlx.strategies.selectors import select
from tlx.tasks.catalog import kind_of

log = logging.getLogger("tlx")


def build_backbone(config: DictConfig, load: bool = True) -> Backbone:
    """Build the backbone of a configuration; load its weights unless `load` is false or the strategy resets them."""
    load = load and not config.strategy.get("reset", False)
    backbone: Backbone = build_node(config.backbone, "backbone", in_channels=config.dataset.channels, load=load)
    return for_maps(backbone) if kind_of(config.task).reads_maps else backbone


def plan(config: DictConfig, names: list[str], steps: int | None = None) -> list[PlannedStage]:
    """Resolve the strategy of a checked configuration for layer groups, bottom to top, the head last.

    Args:
        config: The configuration.
        names: All layer groups.
        steps: Optimizer steps of an epoch, which decide the epochs of stages with `min_steps`; None: unknown.

    Raises:
        ConfigError: A selector matches nothing, or a stage trains nothing. If only the built network reveals its layer
            groups, such mistakes are found here.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    upper = kind_of(plain["task"]).upper_groups
    mistakes = check_plan(plain["strategy"], plain["optimizer"], names, upper)
    if mistakes:
        raise ConfigError(mistakes)
    length = config.trainer.get("length")
    length = 1.0 if length in (None, AUTO) else float(length)
    return plan_stages(plain["strategy"], plain["optimizer"], names, config.trainer.stage_epochs, upper, steps, length)


def recomputed_groups(config: DictConfig, backbone: Backbone) -> tuple[str, ...]:
    """Return the layer groups of a backbone that are computed again in the backward pass, bottom to top.

    Raises:
        ConfigError: `trainer.checkpoint_groups` matches none.
    """
    typed = config.trainer.get("checkpoint_groups")
    if typed is None:
        return ()
    upper = kind_of(config.task).upper_groups
    selector: Any = typed if isinstance(typed, str) else list(typed)
    names = [*backbone.group_names, *upper]
    mistakes = check_groups(names, selector, "trainer.checkpoint_groups", "checkpointing", upper)
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(name for name in select(names, selector, upper) if name not in upper)


def feature_groups(config: DictConfig, names: list[str]) -> tuple[str, ...]:
    """Return the layer groups whose pooled outputs a classifier reads, bottom to top.

    Args:
        config: A configuration with a classifier.
        names: All layer groups, bottom to top, the upper ones last.

    Raises:
        ConfigError: A selector matches nothing, or only the head.
    """
    plain: Any = OmegaConf.to_container(config.strategy, resolve=True)
    upper = kind_of(config.task).upper_groups
    mistakes = check_plan(plain, {}, names, upper)
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(name for name in select(names, plain["groups"], upper) if name not in upper)


class NothingDrawn(TorchFunctionMode):
    """Skips weight initialisation: on the meta device it would import a compiler, which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is torch.Tensor.normal_ or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)
