"""`auto` in a configuration: which keys may hold it, who chooses the value, and whether a resumed run keeps it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from omegaconf import DictConfig, OmegaConf

AUTO = "auto"
# The choice changes the last digits of a result. It is written to config.yaml, and a resumed run reads it from there.
KEPT = ("trainer.precision", "trainer.channels_last", "trainer.compile")
# The choice depends on the machine and is no part of what a run is. Every start makes it again; no file records it.
MADE_AGAIN = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.progress_bar",
    "dataset.num_workers",
)

Context = TypeVar("Context")


@dataclass(frozen=True)
class Resolver(Generic[Context]):
    """Chooses a value where a key of the configuration is `auto`.

    Args:
        key: The dotted key; one of KEPT or of MADE_AGAIN.
        choose: Returns the value. Its argument is what the choice depends on: the machine, or something to measure.
    """

    key: str
    choose: Callable[[Context], Any]

    @property
    def kept(self) -> bool:
        """Whether a resumed run keeps the choice."""
        return self.key in KEPT


def undecided(config: DictConfig) -> list[str]:
    """Return the keys of KEPT that are still `auto`."""
    return [key for key in KEPT if OmegaConf.select(config, key) == AUTO]


def settle(config: DictConfig, resolvers: Iterable[Resolver[Context]], context: Context) -> DictConfig:
    """Return the configuration with a value in place of each `auto` that one of the resolvers decides.

    Args:
        config: The configuration; it is not changed.
        resolvers: One for each key.
        context: What their choices depend on.
    """
    config = copy.deepcopy(config)
    for resolver in resolvers:
        if OmegaConf.select(config, resolver.key) == AUTO:
            OmegaConf.update(config, resolver.key, resolver.choose(context))
    return config


def keep(config: DictConfig, before: DictConfig) -> DictConfig:
    """Return the configuration of a resumed run, with the values that the run began with where KEPT is still `auto`.

    Args:
        config: The configuration that was asked for again; it is not changed.
        before: The configuration that the run directory holds.
    """
    config = config.copy()
    for key in undecided(config):
        OmegaConf.update(config, key, OmegaConf.select(before, key))
    return config


def made_again(part: str) -> set[str]:
    """Return the keys of MADE_AGAIN in a part of the configuration, without the name of the part."""
    return {key.partition(".")[2] for key in MADE_AGAIN if key.startswith(f"{part}.")}
