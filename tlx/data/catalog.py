"""Find the source of a dataset node, without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from tlx.building import targets
from tlx.building.listed import SOURCES
from tlx.building.safety import locate
from tlx.data.sources.base import OwnSource, Source


def source_of(node: Mapping[str, Any]) -> Source:
    """Return the source named by `_target_` in a composed dataset node: one of tlx's or the user's."""
    target = str(node.get("_target_"))
    return source_class(target)(node) if target in SOURCES else _user_class(target)(node)


def labels_of(node: Mapping[str, Any]) -> str | None:
    """Return the name of the kind of labels of one of tlx's sources; None: a user's own source, which is not loaded."""
    target = str(node.get("_target_"))
    return source_class(target)(node).labels if target in SOURCES else None


def source_class(target: str) -> type[Source]:
    """Return the class of one of tlx's sources, by its `_target_`."""
    found: type[Source] = resolve_name(SOURCES[target])
    return found


def _user_class(target: str) -> type[Source]:
    """Import a user's class if the user allows it; a function is imported only when the set is loaded."""
    if not targets.is_class(target):
        return OwnSource
    try:
        found = locate(target, "dataset")
    except Exception:  # loading the set reports any error of the user's module
        return OwnSource
    return found if isinstance(found, type) and issubclass(found, Source) else OwnSource
