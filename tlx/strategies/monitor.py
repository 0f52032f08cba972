"""The metric by which a run selects its best weights. Uses only the standard library and OmegaConf."""

from __future__ import annotations

from typing import NamedTuple

from omegaconf import DictConfig


class Monitor(NamedTuple):
    """A logged metric, and whether its `max` or its `min` is best."""

    name: str
    mode: str


def monitored(config: DictConfig) -> Monitor:
    """Return the monitored metric: the strategy's own if it has one, as adaptation does, otherwise the task's."""
    own = config.strategy.get("monitor")
    return Monitor(config.task.monitor, config.task.mode) if own is None else Monitor(own, best_of(own))


def best_of(monitor: str) -> str:
    """Return `min` for losses and entropies, otherwise `max`."""
    return "min" if monitor.endswith(("loss", "entropy")) else "max"
