"""What a command asks for: configurations whose images have classes, one for each backbone. Free of torch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import ConfigError, Mistake
from tlx.config.compose import compose_for_images
from tlx.config.label import label
from tlx.config.naming import identity
from tlx.data.catalog import labels_of
from tlx.data.labels import CLASSES
from tlx.tasks.catalog import kind_of


def requested(overrides: Sequence[str], config_dir: str | None, verb: str) -> list[DictConfig]:
    """Return a composed configuration for each backbone that a command names.

    Args:
        overrides: As typed; keys of the backbone may have several values, `backbone=a,b`.
        config_dir: A directory of the user's own options.
        verb: The verb, for messages.

    Raises:
        ConfigError: It lists the mistakes of the first configuration that has any.
    """
    configs = [compose_for_images(one, config_dir) for one in one_by_one(overrides)]
    refuse_other_tasks(configs, verb)
    return configs


def refuse_other_tasks(configs: Iterable[DictConfig], verb: str) -> None:
    """Refuse configurations that are about something else than the classes of images.

    Raises:
        ConfigError: The message says what to type.
    """
    for config in configs:
        mistakes = [*_mistakes(config, verb)]
        if mistakes:
            raise ConfigError(mistakes)


def _mistakes(config: DictConfig, verb: str) -> Iterator[Mistake]:
    kind, labels = kind_of(config.task), labels_of(config.dataset)
    if not kind.gives_class_scores:
        hint = "to compare strategies: tlx train -m strategy=last_layers,full …"
        if labels == "boxes":
            hint = "to classify the objects in boxes: task=classification dataset.crops=true; or " + hint
        expected = f"classification with tlx {verb}, which is about the class of an image"
        yield Mistake("task", expected, f"'{config.task.name}'", hint)
    elif labels not in (None, CLASSES.name):
        yield Mistake("dataset", f"images with classes for tlx {verb}", f"'{config.dataset.name}' with {labels}")
    if config.get("target") is not None:
        hint = f"leave target out; for the images of the target domain: dataset={config.target.name}"
        yield Mistake("target", f"none with tlx {verb}", f"'{config.target.name}'", hint)


def one_by_one(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield overrides with one value for each key, if only keys of the backbone have several."""
    choices = []
    for text in overrides:
        choices.append([text])
        with suppress(HydraException):  # composing reports it
            override = OverridesParser.create().parse_override(text)
            if override.key_or_group.partition(".")[0] == "backbone" and isinstance(override.value(), ChoiceSweep):
                key = text.partition("=")[0]
                choices[-1] = [f"{key}={value}" for value in override.sweep_string_iterator()]
    yield from map(list, itertools.product(*choices))


def place_for(configs: Sequence[DictConfig], verb: str) -> Path:
    """Return the default folder of results: OUTPUT_DIR/VERB/NAME. The name says which images and backbones."""
    first = configs[0]
    plain: Any = {part: OmegaConf.to_container(first[part], resolve=True) for part in ("dataset", "backbone")}
    known = [{part: identity(config)[part] for part in ("dataset", "backbone")} for config in configs]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
    more = f"-and_{len(configs) - 1}_more" if len(configs) > 1 else ""
    name = label({**plain, "seed": first.seed, "strategy": {"name": verb}}).replace(f"-{verb}", more, 1)
    return Path(first.output_dir).expanduser() / verb / f"{name}-{digest[:8]}"
