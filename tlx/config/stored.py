"""Read the configuration in a run directory: as text, checked node by node, with only listed targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import Mistake
from tlx.base.typecheck import check_node, show
from tlx.building.listed import SOURCES, listed_at
from tlx.building.loggers import logger_nodes
from tlx.building.safety import foreign
from tlx.config.schema import SCHEMAS, Classifier, Experiment, Optimizer
from tlx.data.catalog import source_class
from tlx.data.sources.keys import SourceKeys
from tlx.records.escapes import escaped
from tlx.records.files import read_config
from tlx.records.reading import first_mistakes, unreadable

_OTHERS: dict[str, type] = {"optimizer": Optimizer, "classifier": Classifier}
_OTHERS |= {"dataset": SourceKeys, "target": SourceKeys}


def stored_config(directory: Path) -> DictConfig:
    """Return config.yaml of a run, without resolving references, looking up names or building anything.

    Raises:
        FileNotFoundError: The file is missing.
        TlxError: It is damaged, or has keys or values that are invalid in tlx.
    """
    plain = read_config(directory)
    for found in foreign(plain):
        # Permission for a _target_ in a place with a list is checked when it is built.
        if found.key != "_target_" or listed_at(found.place) is None:
            expected = f"{found.expected} in {found.path}"
            raise unreadable(directory / "config.yaml", expected, found.got, found.hint)
    mistakes = list(malformed(plain))
    if mistakes:
        raise unreadable(directory / "config.yaml", "a configuration of tlx", first_mistakes(mistakes))
    return as_config(plain)


def as_config(plain: Mapping[str, Any]) -> DictConfig:
    """Return plain values as a configuration in which `${` stays text."""
    config = OmegaConf.create(escaped(dict(plain)))
    assert isinstance(config, DictConfig)
    return config


def settled(config: DictConfig) -> DictConfig:
    """Return a configuration with its references replaced by their values.

    After OmegaConf's own `resolve`, the next access would resolve a value that is the text `${x}`.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    values = as_config(plain)
    OmegaConf.set_struct(values, bool(OmegaConf.is_struct(config)))
    return values


def malformed(config: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the mistakes in the form of a stored configuration: unknown keys, wrong types, numbers out of range.

    This reads no paths and does not look up a user's own classes.
    """
    yield from check_node(config, Experiment, "")
    for part in ("backbone", "dataset", "target", "task", "optimizer", "classifier", "strategy.adapt"):
        outer, _, inner = part.partition(".")
        node = config.get(outer)
        node = node.get(inner) if inner and isinstance(node, Mapping) else node
        if node is None and part in ("target", "classifier", "strategy.adapt"):
            continue
        if not isinstance(node, Mapping):
            yield Mistake(part, "a mapping of keys", show(node))
            continue
        yield from _malformed_node(node, part)
    logger = config.get("logger")
    if not isinstance(logger, Mapping) or not all(isinstance(key, str) for key in logger):
        yield Mistake("logger", "a mapping of keys", show(logger))
        return
    for place, node in logger_nodes(logger).items():
        yield from _malformed_node(node, place)


def _malformed_node(node: Mapping[str, Any], part: str) -> Iterator[Mistake]:
    target = node.get("_target_")
    if not isinstance(target, str):
        yield Mistake(f"{part}._target_", "a text", show(target))
    elif target in SCHEMAS:
        yield from check_node(node, SCHEMAS[target], part)
    elif part in ("dataset", "target") and target in SOURCES:
        yield from check_node(node, source_class(target).keys, part)
    elif part in _OTHERS:
        yield from check_node(node, _OTHERS[part], part, allow_extra=True)
