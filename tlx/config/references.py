"""Find references in a configuration (`${key}`, `${oc.env:NAME}`) that do not resolve."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlx.base.compat.omegaconf import has_values, raw_node, reference
from tlx.base.errors import Mistake

_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*(\w+)\s*\}")


def unresolved(node: DictConfig | ListConfig, path: str) -> Iterator[Mistake]:
    """Yield a mistake for each value below a node with a reference that does not resolve."""
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        yield from unresolved_at(node, key, f"{path}.{key}" if isinstance(node, DictConfig) else f"{path}[{key}]")


def unresolved_at(node: DictConfig | ListConfig, key: Any, path: str) -> Iterator[Mistake]:
    """Yield the same mistakes at and below a key of a node."""
    raw = raw_node(node, key)
    if OmegaConf.is_interpolation(node, key):
        text = reference(node, key)
        try:
            OmegaConf.to_container(node[key], resolve=True) if OmegaConf.is_config(node[key]) else node[key]
        except OmegaConfBaseException as error:
            # A reference to a key that names a missing variable is not reported again.
            if "Environment variable" not in str(error) or _ENVIRONMENT.search(text):
                yield _mistake(path, text, error)
    elif has_values(raw):
        yield from unresolved(raw, path)


def repeated(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, key) for each value that only refers to another key: `dataset.subset_seed`, `seed`."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from repeated(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from repeated(value, f"{path}[{i}]")
    elif isinstance(node, str) and (found := re.fullmatch(r"\$\{([A-Za-z_][\w.]*)\}", node)):
        yield path, found[1]


def without_references(node: Any) -> Any:
    """Return plain values, in which references that do not resolve stay as text."""
    if isinstance(node, DictConfig) and has_values(node):
        return {key: _value(node, key) for key in node}
    if isinstance(node, ListConfig) and has_values(node):
        return [_value(node, key) for key in range(len(node))]
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node


def _value(node: DictConfig | ListConfig, key: Any) -> Any:
    try:
        return without_references(node[key])
    except OmegaConfBaseException:
        return OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]


def _mistake(path: str, text: str, error: Exception) -> Mistake:
    found = _ENVIRONMENT.search(text)
    if found is None:
        return Mistake(path, "a reference that resolves", f"'{text}': {str(error).splitlines()[0]}")
    typed = shlex.quote(f"{path}={text.replace(found[0], found[0][:-1] + ',DEFAULT}')}")
    hint = f"set it: export {found[1]}=…, or give a default: {typed}"
    return Mistake(path, f"an environment variable {found[1]}", f"'{text}', which is not set", hint)
