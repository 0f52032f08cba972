"""The options that tlx ships in conf/, read as plain values. A run's name omits values that equal them."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.config.defaults import left_out
from tlx.data.sources.torchvision_table import TORCHVISION
from tlx.records.reading import read_yaml

CONFIG_NAME = "train"
_SELF = "_self_"
_USUAL = {"trainer": "default", "cache": "default", "optimizer": "adamw"}
_TORCHVISION_SET = "tlx.data.torchvision_set"


def conf_dir() -> Path:
    """Return tlx's configuration directory: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / f"{CONFIG_NAME}.yaml").is_file():
            return candidate
    raise TlxError(f"expected conf/{CONFIG_NAME}.yaml inside or next to {package}, got neither: reinstall tlx")


def option_of(part: str, node: Mapping[str, Any]) -> str | None:
    """Return the name of the option of conf/ that a node was composed from; None if it is not one of tlx's files."""
    group, target = _group(part), node.get("_target_")
    names = [str(node.get("name")), str(target).rpartition(".")[2], _USUAL.get(part, "")]
    if group == "optimizer":
        names += sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return next((name for name in names if (found := _read(group, name)) and found.get("_target_") == target), None)


def shipped(part: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a node would have if nothing had been overridden; a reference `${…}` stays one.

    Args:
        part: The node's place in the configuration, such as `dataset`.
        node: Plain values.
    """
    name, group = option_of(part, node), _group(part)
    found = dict(_read(group, name or "base") or {})
    target = node.get("_target_")
    own = TORCHVISION.get(str(node.get("name"))) if target == _TORCHVISION_SET else None
    if own is not None:
        found |= {"test_fraction": 0.2, "horizontal_flip": own.horizontal_flip}
    return found | left_out(part, found if target is None else {**found, "_target_": target})


def _group(part: str) -> str:
    return "dataset" if part == "target" else part


@functools.cache
def _read(group: str, name: str) -> Mapping[str, Any] | None:
    """Return an option with the options of its group that it extends; None if there is no such file."""
    path = conf_dir() / group / f"{name}.yaml"
    if not name.isidentifier() or not os.path.isfile(path):  # not Path.is_file, which raises for a long name
        return None
    own = dict(read_yaml(path, "an option of tlx"))
    extended = own.pop("defaults", [_SELF])
    found: dict[str, Any] = {}
    for other in [*extended, *([] if _SELF in extended else [_SELF])]:
        if isinstance(other, str):
            found |= own if other == _SELF else _read(group, other) or {}
    return found
