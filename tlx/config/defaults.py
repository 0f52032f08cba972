"""Fill in keys that a user's own file omits with the defaults of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from tlx.building.loggers import lifted
from tlx.config.labels import fill_labels
from tlx.config.schema import SCHEMAS, Cache, Optimizer, Strategy, Trainer, Validation
from tlx.data.catalog import source_of
from tlx.records.settled import AUTO

_BY_PART: dict[str, type] = {
    "optimizer": Optimizer,
    "strategy": Strategy,
    "trainer": Trainer,
    "cache": Cache,
    "validation": Validation,
}


def left_out(part: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a node lacks, with their defaults."""
    schema = SCHEMAS.get(str(node.get("_target_")), _BY_PART.get(part))
    if part in ("dataset", "target"):
        schema = source_of(node).keys
    defaults: dict[str, Any] = {}
    for spec in fields(schema) if schema is not None else ():
        if spec.name in node:
            continue
        if spec.default is not MISSING:
            defaults[spec.name] = spec.default
        elif spec.default_factory is not MISSING:
            defaults[spec.name] = spec.default_factory()
    return defaults


def complete(config: DictConfig) -> DictConfig:
    """Add the omitted keys to a checked configuration, in place; return it."""
    lift_logger(config)
    for part in ("backbone", "dataset", "task", "strategy", "optimizer", "trainer", "cache", "validation", "target"):
        node = config.get(part)
        if node is None:
            continue
        with open_dict(node):
            plain: Any = OmegaConf.to_container(node)
            for key, value in left_out(part, plain).items():
                node[key] = value
    fill_labels(config)
    fill_length(config)
    return config


def fill_length(config: DictConfig) -> None:
    """Let a limit in minutes decide the length of the stages, in place, unless that is typed."""
    trainer = config.get("trainer")
    if trainer is not None and trainer.get("max_minutes") is not None and trainer.get("length") is None:
        trainer.length = AUTO


def lift_logger(config: DictConfig) -> None:
    """Convert a logger node to the stored form, in place: Hydra composes each logger under its own name."""
    node = None if OmegaConf.is_interpolation(config, "logger") else config.get("logger")
    if isinstance(node, DictConfig):
        plain: Any = OmegaConf.to_container(node)
        if (found := lifted(plain)) is not plain:
            with open_dict(config):
                config.logger = found
