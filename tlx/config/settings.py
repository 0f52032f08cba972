"""The settings of a run as flat plain values, by which people tell runs apart: no devices, folders or hashes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tlx.config.free_keys import NOT_IDENTITY
from tlx.config.naming import PARTS, flat
from tlx.strategies.folds import is_kfold

if TYPE_CHECKING:
    from tlx.measures.sections import Plain

_CLASS = "._target_"


def settings(config: Mapping[str, Any]) -> dict[str, Plain]:
    """Return the values of a resolved configuration that decide a run's result, by dotted key in alphabetical order.

    The optimizer is its class name, a path its last part, null is `none`, and a list is JSON; each stage has the keys
    `strategy.stages.0.lr_scale`. What lies behind a path is in the run's identity, not here.

    Args:
        config: Plain values, as they are stored in config.yaml.
    """
    found: dict[str, Plain] = {}
    for part in PARTS:
        node = config.get(part)
        if part == "validation" and not is_kfold(config):  # the default needs no line
            continue
        if isinstance(node, Mapping):
            kept = {str(key): value for key, value in node.items() if key not in NOT_IDENTITY.get(part, set())}
            found |= {f"{part}.{key}": _plain(value) for key, value in flat(_numbered(kept)).items()}
        elif node is not None:
            found[part] = _plain(node)
    if found.get("dataset.subset_seed") == found.get("seed"):  # the default needs no line
        found.pop("dataset.subset_seed", None)
    optimizer = str(found.get(f"optimizer{_CLASS}", ""))
    if optimizer:
        found["optimizer.name"] = optimizer.rpartition(".")[2]
    return {key: found[key] for key in sorted(found) if not key.endswith(_CLASS)}


def _numbered(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node in which lists of mappings, such as stages, are mappings by number."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        is_list = isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value)
        found[str(key)] = {str(i): one for i, one in enumerate(value)} if is_list else value
    return found


def _plain(value: Any) -> Plain:
    if isinstance(value, str):
        return os.path.basename(value.rstrip("/")) or value if value.startswith(("/", "~")) else value
    return value if isinstance(value, float | int | bool) else "none" if value is None else json.dumps(value)
