"""The values by which runs are compared: one flat row a run, of plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from tlx.config.naming import identity

_LEFT_OUT = ("dataset._target_", "backbone._target_", "task._target_", "task.monitor", "task.mode", "task.num_classes")
Plain = str | float | int | bool


def hyperparameters(config: DictConfig) -> dict[str, Plain]:
    """Return what decides a run's result as one flat dict of plain values, by dotted key in alphabetical order.

    The optimizer is told by its class, the stages of the strategy by their names and epochs; `none` stands for null.
    """
    flat = _flat({key: value for key, value in identity(config).items() if key != "strategy"})
    if flat.get("dataset.subset_seed") == flat["seed"]:  # as it is unless set: no column of its own
        del flat["dataset.subset_seed"]
    flat["optimizer.name"] = str(flat.pop("optimizer._target_")).rpartition(".")[2]
    flat["strategy.name"] = config.strategy.name
    flat["strategy.stages"] = ", ".join(f"{stage.name} {stage.get('epochs', 5)}" for stage in config.strategy.stages)
    return {key: flat[key] for key in sorted(flat) if key not in _LEFT_OUT}


def _flat(node: Mapping[str, Any], path: str = "") -> dict[str, Plain]:
    flat: dict[str, Plain] = {}
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, name)
        else:
            flat[name] = value if isinstance(value, Plain) else "none" if value is None else json.dumps(value)
    return flat
