"""Name a run: a legible label and a hash of everything that decides its result."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tlx.base.compat.omegaconf import raw_node, reference
from tlx.base.errors import TlxError
from tlx.config.defaults import left_out
from tlx.config.free_keys import NOT_IDENTITY
from tlx.config.label import label
from tlx.data.catalog import source_of
from tlx.records.files import read_model, read_status
from tlx.strategies.folds import is_kfold

# Keys added after the first release: left out at their default, so that older runs keep their names.
_ADDED_TO_SETS = {
    **{"group_column": None, "group_pattern": None, "window": None, "sampling": None, "splits": None},
    "extension": None,
    "labels_exact": False,
    "similar": "report",
    "micro_batch": None,
    **{"folds": None, "fold": None},
    **{"min_side": None, "max_side": None, "labels": "masks", "crops": False, "crop_margin": 0.1},
}
ADDED: dict[str, dict[str, Any]] = {
    "backbone": {"state_key": None},
    "dataset": _ADDED_TO_SETS,
    "target": _ADDED_TO_SETS,
    "task": {"tile_size": None, "tile_overlap": 0.0, "tile_pool": "mean", "class_weights": None},
    "strategy": {"groups": None, "folds": 5, "scoring": "accuracy"},
    "trainer": {"average_weights": None, "validate_every": "auto", "max_minutes": None, "length": None},
}
_LONGEST = 255  # bytes of a folder's name
PARTS = (
    *("backbone", "dataset", "task", "strategy", "optimizer", "trainer", "cache", "seed", "target", "classifier"),
    "validation",
)
_WITHOUT_NULL = ("target", "classifier", "validation")  # parts that a run may lack


def identity(config: DictConfig) -> dict[str, Any]:
    """Return the part of a configuration that decides the result of its run, as plain values.

    File contents replace paths: the same files in another folder are the same run, and other files in the same folder
    are another run.
    """
    kept: dict[str, Any] = {}
    for part in PARTS:
        value = config.get(part)
        if isinstance(value, DictConfig):
            plain: Any = OmegaConf.to_container(value, resolve=True)
            plain |= left_out(part, plain)
            plain = {str(k): v for k, v in plain.items() if k not in NOT_IDENTITY.get(part, set())}
            added = ADDED.get(part, {})
            plain = {k: v for k, v in plain.items() if k not in added or v != added[k]}
            plain = _with_keys_of_one_type(plain)
            value = _without_paths(part, plain) if part in ("backbone", "dataset", "target") else plain
        kept[part] = value if part != "validation" or is_kfold(config) else None
    return {part: value for part, value in kept.items() if value is not None or part not in _WITHOUT_NULL}


def _with_keys_of_one_type(value: Any) -> Any:
    """Convert keys to strings if a mapping mixes numbers and strings (class weights), so that they can be sorted."""
    if isinstance(value, dict):
        text = len({type(key) for key in value}) > 1
        return {str(key) if text else key: _with_keys_of_one_type(inner) for key, inner in value.items()}
    return [_with_keys_of_one_type(item) for item in value] if isinstance(value, list) else value


def _without_paths(part: str, node: dict[str, Any]) -> dict[str, Any]:
    """Replace paths by their content; a path that cannot be read stays and is made absolute."""
    content = _content(part, json.dumps(node, sort_keys=True, default=str))
    paths = {key for key in ("root", "path", "run") if isinstance(node.get(key), str)}
    if content is None:
        return node | {key: os.path.abspath(os.path.expanduser(node[key])) for key in paths}
    return {key: value for key, value in node.items() if key not in paths} | content


@functools.cache
def _content(part: str, node: str) -> dict[str, Any] | None:
    plain = json.loads(node)
    if part in ("dataset", "target"):
        return source_of(plain).identity()
    try:
        if plain["_target_"] == "tlx.backbones.run_backbone":
            model = read_model(Path(plain["run"]).expanduser())
            return {"run": model["identity"]} if model.get("identity") is not None else None
        if plain["_target_"] == "tlx.backbones.file_backbone":
            with Path(plain["path"]).expanduser().open("rb") as file:
                return {"file": hashlib.file_digest(file, "sha256").hexdigest()}
    except (OSError, ValueError, KeyError, TlxError):  # the check of the configuration reports it
        return None
    return None


def look_again() -> None:
    """Clear the cached contents of paths: a command reads each once, because a run resolves its name many times."""
    _content.cache_clear()
    _runs_in.cache_clear()


def identity_hash(config: DictConfig) -> str:
    """Return a hash of everything that decides the result of a run."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True, default=str).encode()).hexdigest()


def difference(one: DictConfig, other: DictConfig) -> str:
    """Return the keys that decide the result and differ between two configurations, with both values."""
    first, second = flat(identity(one)), flat(identity(other))
    keys = sorted(key for key in {*first, *second} if first.get(key) != second.get(key))
    shown = [f"{key}: {first.get(key)} there, {second.get(key)} here" for key in keys[:4]]
    return "; ".join(shown) + (f"; and {len(keys) - 4} more keys" if len(keys) > 4 else "")


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """Return the values of nested dicts by dotted key; lists and empty dicts are values."""
    if isinstance(node, dict) and node:
        return {k: v for key, value in node.items() for k, v in flat(value, f"{path}.{key}" if path else key).items()}
    return {path: node}


def run_name(*, _root_: DictConfig) -> str:
    """Return `DATASET-BACKBONE-STRATEGY-WORDS-sSEED-HASH`; the resolver of `${run_name:}`.

    If the output directory holds the run of this configuration under another name with the same end, as older versions
    named it or as its images were called before they moved, that name is returned: the run is not trained again.
    """
    identity = identity_hash(_root_)
    end = f"-s{_root_.seed}-{identity[:8]}"
    plain: Any = {key: OmegaConf.to_container(_root_[key], resolve=True) for key in PARTS if _is_node(_root_, key)}
    start = label({**plain, "seed": _root_.seed})
    if len(os.fsencode(start + end)) > _LONGEST:  # bytes; the hash distinguishes truncated names
        start = os.fsencode(start)[: _LONGEST - len(end)].decode(errors="ignore")
    return _known(_root_, start + end, end, identity) or start + end


def _is_node(config: DictConfig, key: str) -> bool:
    return isinstance(config.get(key), DictConfig)


def _known(config: DictConfig, name: str, end: str, identity: str) -> str | None:
    """Return the name of another directory that holds the run of an identity; None if there is none."""
    folder = os.path.expanduser(str(config.get("output_dir") or ""))
    if _raw(config, "run_name") != "${run_name:}" or _raw(config, "run_dir") != "${output_dir}/${run_name}":
        return None  # the user's own name
    if not folder or os.path.isdir(os.path.join(folder, name)):
        return None
    for other in _runs_in(folder):
        if other.endswith(end) and other != name:
            with suppress(TlxError, OSError):
                if read_status(Path(folder, other)).get("identity") == identity:
                    return other
    return None


def _raw(config: DictConfig, key: str) -> str | None:
    """Return the value at a key without resolving it: this is called while `run_name` is being resolved."""
    return None if raw_node(config, key) is None else reference(config, key)


@functools.cache
def _runs_in(folder: str) -> list[str]:
    """Return the names in an output directory; read once in a command, which writes none but new names."""
    with suppress(OSError, ValueError):
        return sorted(os.listdir(folder))
    return []


def register_resolvers() -> None:
    """Register `${run_name:}` and `${expanduser:PATH}` with OmegaConf."""
    OmegaConf.register_new_resolver("expanduser", os.path.expanduser, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
