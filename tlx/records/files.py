"""Readers of the files of a run directory, whoever wrote them: plain values of the right types, or one message."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tlx.base.errors import TlxError
from tlx.base.fields import AT_LEAST_1
from tlx.records.escapes import Reference, unescaped
from tlx.records.reading import RESTORE, as_mapping, check, read_json, read_yaml, unreadable

Plain = dict[str, Any]
TESTED = "test/"  # prefix of the names of test metrics


@dataclass
class Status:
    """status.json."""

    state: Literal["running", "finished", "failed", "interrupted"]
    identity: str | None = None
    pid: int | None = None
    host: str | None = None
    time: float | None = None
    error: str | None = None
    traceback: str | None = None
    reason: str | None = None


@dataclass
class Model:
    """model.json."""

    architecture: dict[str, Any]
    preprocessing: dict[str, Any]
    group_names: list[str]
    num_features: int = field(metadata=AT_LEAST_1)
    class_names: list[str]
    task: str = "classification"
    kind: str | None = None
    identity: str | None = None
    lineage: Any = None
    carried: Any = None
    reads: list[str] | None = None
    shaped_by: dict[str, str] | None = None
    folds: int | None = None  # networks of a cross-validation; None: one network


@dataclass
class ImagesOf:
    """`preprocessing` in model.json."""

    size: int | list[int] = field(metadata=AT_LEAST_1)
    mean: list[float]
    std: list[float]
    interpolation: str = "bilinear"
    crop: float = 1.0


@dataclass
class Ancestor:
    """A run in `lineage` in model.json. It also has a test metric, which is a number or null."""

    run: str
    dataset: str
    strategy: str
    classes: int
    identity: str | None = None
    target: str | None = None
    classifier: str | None = None


@dataclass
class Carried:
    """What a run took over from its source: the numbers of loaded and new tensors, and classes of the head."""

    loaded: int
    reinitialised: int
    classes: list[str] = field(default_factory=list)


@dataclass
class Start:
    """An entry of environment.json."""

    directory: str
    command: str | None = None


def read_status(directory: Path) -> Plain:
    """Return status.json; {} if there is none.

    Raises:
        TlxError: It is damaged.
    """
    path, expected = directory / "status.json", "the status of a run"
    try:
        status = read_json(path, expected)
    except FileNotFoundError:
        return {}
    check(status, Status, path, expected)
    return dict(as_mapping(status, path, expected))


def read_environment(directory: Path) -> list[Plain]:
    """Return environment.json, one entry per start; [] if there is none.

    Raises:
        TlxError: It is damaged.
    """
    path, expected = directory / "environment.json", "a list of the run's starts"
    try:
        starts = read_json(path, expected)
    except FileNotFoundError:
        return []
    if not isinstance(starts, list):
        raise unreadable(path, expected, f"a {type(starts).__name__}")
    for start in starts:
        check(start, Start, path, expected)
    return starts


def read_metrics(directory: Path) -> dict[str, float]:
    """Return metrics.json, the final metrics by name; NaN if a metric is not defined.

    Raises:
        FileNotFoundError: There is none.
        TlxError: It is damaged.
    """
    path, expected = directory / "metrics.json", "metrics by name"
    metrics = as_mapping(read_json(path, expected), path, expected)
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise unreadable(path, expected, f"{name}: {_short(value)}")
    return {name: float(value) for name, value in metrics.items()}


def read_settings(directory: Path) -> dict[str, str | float] | None:
    """Return settings.json, the settings that decide the result by dotted key; None if there is none (tlx 0.1).

    Raises:
        TlxError: It is damaged.
    """
    path, expected = directory / "settings.json", "settings by dotted key"
    try:
        found = as_mapping(read_json(path, expected), path, expected)
    except FileNotFoundError:
        return None
    for name, value in found.items():
        if not isinstance(value, str | int | float):
            raise unreadable(path, expected, f"{name}: {_short(value)}")
    return dict(found)


def read_model(directory: Path) -> Plain:
    """Return model.json: architecture, preprocessing, layer groups, class names, lineage.

    Raises:
        FileNotFoundError: There is none.
        TlxError: It is damaged, or it holds a reference `${…}`.
    """
    path, expected = directory / "model.json", "the description of a network"
    model = _without_references(read_json(path, expected), path)
    check(model, Model, path, expected)
    check(model["preprocessing"], ImagesOf, path, f"{expected}, preprocessing")
    for name in ("group_names", "class_names"):
        if len(set(model[name])) < len(model[name]) or not model[name]:
            raise unreadable(path, expected, f"{name}: {_short(model[name])} for different names")
    ancestors = model.get("lineage") or []
    if not isinstance(ancestors, list):
        raise unreadable(path, f"{expected}, lineage", f"a {type(ancestors).__name__} for a list of runs")
    for ancestor in ancestors:
        check(ancestor, Ancestor, path, f"{expected}, lineage")
        if not any(name.startswith(TESTED) for name in ancestor):
            ancestor["test/accuracy"] = None
        for name in (name for name in ancestor if name.startswith(TESTED)):
            figure = ancestor[name]
            if figure is not None and (isinstance(figure, bool) or not isinstance(figure, int | float)):
                raise unreadable(path, f"{expected}, lineage", f"{name}: {_short(figure)}")
        ancestor["carried"] = _carried(ancestor, path, expected)
    return {**model, "lineage": ancestors, "carried": _carried(model, path, expected)}


def read_config(directory: Path) -> Plain:
    """Return config.yaml as plain values, in which `${…}` is text; tlx.config checks its nodes.

    Raises:
        FileNotFoundError: There is none.
        TlxError: It is damaged, or it holds a reference `${…}`.
    """
    path, expected = directory / "config.yaml", "a resolved configuration"
    return dict(as_mapping(_without_references(read_yaml(path, expected), path), path, expected))


def _carried(run: Plain, path: Path, expected: str) -> Plain:
    carried = run.get("carried") or {}
    if carried:
        check(carried, Carried, path, f"{expected}, carried")
        if not isinstance(carried.setdefault("from", "unknown"), str):
            raise unreadable(path, f"{expected}, carried", f"from: {_short(carried['from'])}")
    return dict(carried)


def _without_references(value: Any, path: Path) -> Any:
    try:
        return unescaped(value)
    except Reference as error:
        hint = r"tlx writes resolved values, and the text itself as \${…}; replace the reference by its value"
        raise unreadable(
            path, "values", f"a reference, {_short(error.args[0])}, which is not resolved", hint
        ) from error


def _short(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


__all__ = [
    "RESTORE",
    "TlxError",
    "read_config",
    "read_environment",
    "read_metrics",
    "read_model",
    "read_settings",
    "read_status",
]
