"""`auto` in a configuration: the keys that may hold it, how a value is chosen, and whether a resumed run keeps it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from omegaconf import DictConfig, OmegaConf

AUTO = "auto"
# The choice changes the last digits of a result, or how long it takes. It is written to config.yaml, from which a
# resumed run reads it.
KEPT = ("dataset.micro_batch", "trainer.precision", "trainer.channels_last", "trainer.compile", "trainer.length")
# The choice depends on the machine and is not part of a run's identity. Every start makes it again; no file records it.
MADE_AGAIN = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.progress_bar",
    "dataset.num_workers",
)
# The choice follows from the images and the configuration: every start comes to the same. No file records it.
FROM_IMAGES = ("trainer.keep", "trainer.validate_every", "dataset.batch_size")

Context = TypeVar("Context")


@dataclass(frozen=True)
class Resolver(Generic[Context]):
    """Chooses a value where a key of the configuration is `auto`.

    Args:
        key: The dotted key; one of KEPT or of MADE_AGAIN.
        choose: Returns the value. Its argument is the context of the choice: the machine, or something to measure.
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
        context: The argument of their choices.
    """
    config = copy.deepcopy(config)
    for resolver in resolvers:
        if OmegaConf.select(config, resolver.key) == AUTO:
            OmegaConf.update(config, resolver.key, resolver.choose(context))
    return config


def keep(config: DictConfig, before: DictConfig) -> DictConfig:
    """Return the configuration of a resumed run; keys of KEPT that are `auto` get the values that the run began with.

    Args:
        config: The configuration as typed again; it is not changed.
        before: The configuration in the run directory.
    """
    config = config.copy()
    for key in undecided(config):
        OmegaConf.update(config, key, OmegaConf.select(before, key))
    return config


def made_again(part: str) -> set[str]:
    """Return the keys of MADE_AGAIN that are in a part of the configuration, without the name of the part."""
    return {key.partition(".")[2] for key in MADE_AGAIN if key.startswith(f"{part}.")}
