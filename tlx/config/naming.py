"""A run is named by what it is: a readable label and a hash of all that decides its result."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tlx.config.defaults import left_out

# What changes where or how fast a run goes, but not what it is.
NOT_IDENTITY = {
    "trainer": {
        "devices",
        "num_nodes",
        "accelerator",
        "strategy",
        "progress_bar",
        "model_summary",
        "log_every_n_steps",
    },
    "dataset": {"num_workers", "download"},
}
PARTS = ("backbone", "dataset", "task", "strategy", "optimizer", "trainer", "seed")


def identity(config: DictConfig) -> dict[str, Any]:
    """Return the part of a configuration that decides the result of its run, as plain values."""
    kept: dict[str, Any] = {}
    for part in PARTS:
        value = config.get(part)
        if isinstance(value, DictConfig):
            plain = OmegaConf.to_container(value, resolve=True)
            assert isinstance(plain, dict)
            plain |= left_out(part, plain)  # type: ignore[arg-type]
            value = {str(k): _absolute(str(k), v) for k, v in plain.items() if k not in NOT_IDENTITY.get(part, set())}
        kept[part] = value
    return kept


def identity_hash(config: DictConfig) -> str:
    """Return a hash of all that decides the result of a run."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True, default=str).encode()).hexdigest()


def difference(one: DictConfig, other: DictConfig) -> str:
    """Return the keys in which two configurations differ, as far as their results depend on them, with both values."""
    first, second = _flat(identity(one)), _flat(identity(other))
    keys = sorted(key for key in {*first, *second} if first.get(key) != second.get(key))
    shown = [f"{key}: {first.get(key)} there, {second.get(key)} here" for key in keys[:4]]
    return "; ".join(shown) + (f"; and {len(keys) - 4} more keys" if len(keys) > 4 else "")


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    if isinstance(node, dict) and node:
        return {k: v for key, value in node.items() for k, v in _flat(value, f"{path}.{key}" if path else key).items()}
    return {path: node}


def run_name(*, _root_: DictConfig) -> str:
    """Return `DATASET-BACKBONE-STRATEGY-sSEED-HASH`; the resolver behind `${run_name:}`."""
    digest = identity_hash(_root_)[:8]
    words = [str(_root_[part].get("name", part)) for part in ("dataset", "backbone", "strategy")]
    label = "-".join(w.replace("/", "_").replace(" ", "_") for w in words)
    return f"{label}-s{_root_.seed}-{digest}"


def _absolute(key: str, value: Any) -> Any:
    # The same relative path means something else in another directory.
    is_path = key in ("root", "path", "run") and isinstance(value, str)
    return os.path.abspath(os.path.expanduser(value)) if is_path else value


def register_resolvers() -> None:
    """Make `${run_name:}` and `${expanduser:PATH}` known to OmegaConf."""
    OmegaConf.register_new_resolver("expanduser", os.path.expanduser, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
