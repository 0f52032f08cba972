"""Build the object that a node names by its `_target_`, and objects inside it only where that is allowed.

Hydra's `instantiate` builds every node inside a node and resolves every `${…}`, even in plain dicts. Here a node is
plain values, and values inside it are passed on unchanged, unless there is a list for their own path.
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
    """Call the class or function that a node names, with the node's keys as arguments; return the result.

    Args:
        node: Plain values, in which `${…}` is text; or a node of OmegaConf.
        place: Its dotted path in a configuration, which decides what it may build: `task`, `strategy.adapt`, …
        arguments: More arguments; they override the node's keys.

    Raises:
        TlxError: The name is neither listed for this path nor allowed by the user, does not exist, or does not take
            these arguments. Errors of the call itself are passed on.
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
    """Call a class or function; arguments that it does not take are a mistake in the configuration.

    Raises:
        TlxError: It cannot be called, or does not take these arguments.
    """
    if not callable(build):
        raise TlxError(f"{place}: expected a class or a function, got {target}")
    try:
        inspect.signature(build).bind(**arguments)
    except TypeError as error:
        raise TlxError(f"{place}: expected the arguments of {target}, got {', '.join(arguments)}: {error}") from error
    except ValueError:  # written in C, without a signature: the call itself checks the arguments
        pass
    return build(**arguments)


def _inside(value: Any, place: str) -> Any:
    """Build nodes inside a node if there is a list for their path, or if the user allows their names."""
    if isinstance(value, Mapping):
        target = value.get("_target_")
        if isinstance(target, str) and (listed_at(place) is not None or allowed_by_user(target)):
            return build_node(value, place)
        return {key: _inside(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_inside(item, f"{place}[{i}]") for i, item in enumerate(value)]
    return value
