"""Build what a node names with its `_target_`, and nothing inside it that is not listed.

Hydra's `instantiate` builds every node inside a node, and resolves every `${…}`, in plain dicts too. Here a node is
plain values: what is inside it is handed over as it is, unless its own place has a list.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from tlx.base.allowed import allowed_by_user
from tlx.base.errors import TlxError
from tlx.building.listed import listed_at
from tlx.building.safety import locate, refuse_foreign_targets


def build_node(node: Any, place: str, **arguments: Any) -> Any:
    """Return what a node makes of its keys.

    Args:
        node: Plain values, in which `${…}` is text; or a node of OmegaConf.
        place: Its dotted path in a configuration, which says what it may build: `task`, `strategy.adapt`, …
        arguments: Handed over beside its keys, before which they come.

    Raises:
        TlxError: It names something that is not listed there and not allowed by the user, something that does not exist
            or does not take its keys; or what it raises itself.
    """
    plain: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(plain, Mapping) or not isinstance(plain.get("_target_"), str):
        raise TlxError(f"{place}: expected a node with a _target_, got {plain!r}")
    refuse_foreign_targets(plain, "the configuration", place)
    keys = {str(key): _inside(value, f"{place}.{key}") for key, value in plain.items() if key != "_target_"}
    target = plain["_target_"]
    build = locate(target, place)
    return call(build, target, {**keys, **arguments}, place)


def call(build: Any, target: str, arguments: Mapping[str, Any], place: str) -> Any:
    """Call a class or function; keys that it does not take are a mistake of the configuration.

    Raises:
        TlxError: It cannot be called, or not with these arguments.
    """
    if not callable(build):
        raise TlxError(f"{place}: expected a class or a function, got {target}")
    try:
        inspect.signature(build).bind(**arguments)
    except TypeError as error:
        raise TlxError(f"{place}: expected the arguments of {target}, got {', '.join(arguments)}: {error}") from error
    except ValueError:  # written in C: it tells by itself
        pass
    return build(**arguments)


def _inside(value: Any, place: str) -> Any:
    """Build nodes inside a node where their place has a list, or where the user allows what they name."""
    if isinstance(value, Mapping):
        target = value.get("_target_")
        if isinstance(target, str) and (listed_at(place) is not None or allowed_by_user(target)):
            return build_node(value, place)
        return {key: _inside(held, f"{place}.{key}") for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_inside(held, f"{place}[{i}]") for i, held in enumerate(value)]
    return value
