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


def run_name(*, _root_: DictConfig) -> str:
    """Return `DATASET-BACKBONE-STRATEGY-sSEED-HASH`; the resolver behind `${run_name:}`."""
    digest = hashlib.sha256(json.dumps(identity(_root_), sort_keys=True, default=str).encode()).hexdigest()[:8]
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
