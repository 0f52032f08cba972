"""Hyperparameters for comparing runs: one flat row of plain values for each run."""

from __future__ import annotations

import json
from typing import Any

from omegaconf import DictConfig

from tlx.config.naming import flat, identity
from tlx.measures.sections import Plain

_LEFT_OUT = ("dataset._target_", "backbone._target_", "task._target_", "task.monitor", "task.mode", "task.num_classes")


def hyperparameters(config: DictConfig) -> dict[str, Plain]:
    """Return the values that decide a run's result as a flat dict, by dotted key in alphabetical order.

    The optimizer is its class name, the stages are their names and epochs, and null is `none`.
    """
    nodes = {key: value for key, value in identity(config).items() if key != "strategy"}
    values = {key: _plain(value) for key, value in flat(nodes).items()}
    if values.get("dataset.subset_seed") == values["seed"]:  # the default needs no column
        del values["dataset.subset_seed"]
    values["optimizer.name"] = str(values.pop("optimizer._target_")).rpartition(".")[2]
    values["strategy.name"] = config.strategy.name
    values["strategy.stages"] = ", ".join(f"{stage.name} {stage.get('epochs', 5)}" for stage in config.strategy.stages)
    return {key: values[key] for key in sorted(values) if key not in _LEFT_OUT}


def _plain(value: Any) -> Plain:
    return value if isinstance(value, Plain) else "none" if value is None else json.dumps(value)
