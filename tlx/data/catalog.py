"""From a dataset node to its source: what is known of the set before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from tlx.building import targets
from tlx.building.listed import SOURCES
from tlx.building.safety import locate
from tlx.data.sources.base import OwnSource, Source


def source_of(node: Mapping[str, Any]) -> Source:
    """Return the source that a composed dataset node names by its `_target_`: one of tlx's, or the user's own."""
    target = str(node.get("_target_"))
    return source_class(target)(node) if target in SOURCES else _users(target)(node)


def source_class(target: str) -> type[Source]:
    """Return the class of one of tlx's sources, by its `_target_`."""
    found: type[Source] = resolve_name(SOURCES[target])
    return found


def _users(target: str) -> type[Source]:
    """A class of the user's own is imported, where the user allows it; a function is not, before it is called."""
    if not targets.is_class(target):
        return OwnSource
    try:
        found = locate(target, "dataset")
    except Exception:  # whatever the user's module raises: it is told when the set is loaded
        return OwnSource
    return found if isinstance(found, type) and issubclass(found, Source) else OwnSource
