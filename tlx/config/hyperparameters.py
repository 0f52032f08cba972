"""Hyperparameters for comparing runs: one flat row of plain values for each run."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from tlx.config.settings import settings
from tlx.measures.sections import Plain

_LEFT_OUT = ("task.monitor", "task.mode", "task.num_classes")
_STAGES = "strategy.stages"


def hyperparameters(config: DictConfig) -> dict[str, Plain]:
    """Return the values that decide a run's result as a flat dict, by dotted key in alphabetical order.

    They are those of `tlx.config.settings`, except that the stages are their names and epochs, and that a strategy has
    no other keys: strategies differ in most of them.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    values = {key: value for key, value in settings(plain).items() if not key.startswith("strategy.")}
    values["strategy.name"] = config.strategy.name
    values[_STAGES] = ", ".join(f"{stage.name} {stage.get('epochs', 5)}" for stage in config.strategy.stages)
    return {key: values[key] for key in sorted(values) if key not in _LEFT_OUT}
