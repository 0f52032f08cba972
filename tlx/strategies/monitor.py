"""By which figure a run selects its weights. Only the standard library and OmegaConf."""

from __future__ import annotations

from typing import NamedTuple

from omegaconf import DictConfig


class Monitor(NamedTuple):
    """A logged figure, and whether `max` or `min` of it is best."""

    name: str
    mode: str


def monitored(config: DictConfig) -> Monitor:
    """Return what selects: the strategy's own figure where it has one, as adaptation does, or the task's."""
    own = config.strategy.get("monitor")
    return Monitor(config.task.monitor, config.task.mode) if own is None else Monitor(own, best_of(own))


def best_of(monitor: str) -> str:
    """Return `min` for losses and entropies, `max` for all else."""
    return "min" if monitor.endswith(("loss", "entropy")) else "max"
