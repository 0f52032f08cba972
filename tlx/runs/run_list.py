"""List the runs below a folder: state, main test figure, cost, and what differs among them. Imports no torch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.printable import aligned, one_line
from tlx.measures.interval_text import with_interval
from tlx.measures.names import interval_of
from tlx.records.directory import RunDirectory
from tlx.records.epochs import last_row
from tlx.records.files import read_config, read_settings
from tlx.records.prediction_file import csv_lines
from tlx.tasks.catalog import headline_in

DEPTH = 3  # levels of folders to search: outputs/demo/NAME
ORDERS = ("figure", "time", "seconds", "name")
KINDS = ("dataset.name", "target.name", "task.name", "backbone.name", "strategy.name", "classifier.name")
_STATES = {"interrupted": "stopped"}
_REASON = 60  # characters of an error that a line shows
_SHOWN = 8  # keys that a line shows

Value = str | float


@dataclass(frozen=True)
class Listed:
    """A run in a list.

    Args:
        directory: Its directory.
        state: `finished`, `running`, `stopped`, `killed`, `failed` or `unreadable`.
        where: The stage and epoch that it has reached, or its error; '' if it is finished.
        changed: When its directory was changed last, in seconds since 1970.
        metric: Name of its main test metric; '' if it has none.
        value: That metric; NaN if it has none.
        ends: The 95 % interval of the metric; None: unknown.
        seconds: Seconds of training; NaN before the end.
        settings: Its settings by dotted key.
    """

    directory: Path
    state: str
    where: str = ""
    changed: float = 0.0
    metric: str = ""
    value: float = math.nan
    ends: tuple[float, float] | None = None
    seconds: float = math.nan
    settings: Mapping[str, Value] = field(default_factory=dict)

    @property
    def family(self) -> tuple[Value | None, ...]:
        """What the run is of: data, network, strategy. Runs of one family differ in few settings."""
        return tuple(self.settings.get(key) for key in KINDS)

    @property
    def status(self) -> str:
        """Its state, and where it is or why."""
        joint = ": " if self.state == "failed" else " at "
        return self.state + (f"{joint}{self.where}" if self.where else "")

    @property
    def figure(self) -> str:
        """Its main test metric with the interval."""
        return f"{self.metric} {with_interval(self.value, self.ends)}" if self.metric else ""


def listed_runs(where: str = "*", folder: str = "outputs", order: str = "figure") -> list[Listed]:
    """Return runs in an order: those of one data set together, best figure first; or by one of the other ORDERS.

    Args:
        where: A folder to search, a pattern of the names of runs in `folder`, or a part of their names.
        folder: The default folder of runs.
        order: One of ORDERS. `time`: the last changed one last.

    Raises:
        TlxError: There are none.
    """
    own = os.path.expanduser(where)
    root, glob = (Path(own), "*") if where != "*" and os.path.isdir(own) else (Path(folder), where)
    pattern = glob if set("*?[") & set(glob) else f"*{glob}*"
    found = [listed(path) for path in _below(root, DEPTH) if fnmatch(path.name, pattern)]
    if not found:
        what = f"a run whose name matches '{glob}'" if glob != "*" else "a run"
        raise TlxError(f"expected {what} in '{root}', got none; to list those in another folder: tlx runs DIR")
    return sorted(found, key=lambda run: _place(run, order))


def run_lines(runs: Sequence[Listed]) -> list[str]:
    """Return a table of runs, one line each, with a heading."""
    kinds, keys = _varying(runs)
    rows = [["run", "state", "test", "seconds", "what differs"]]
    for run in runs:
        seconds = "" if math.isnan(run.seconds) else f"{run.seconds:.0f}" if run.seconds >= 10 else f"{run.seconds:.1f}"
        shown = [f"{_brief(key, keys)}={_short(run.settings.get(key, 'none'))}" for key in [*kinds, *keys[run.family]]]
        more = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
        cells = [str(run.directory), run.status, run.figure, seconds, " ".join([*shown[:_SHOWN], *more])]
        rows.append([one_line(cell) for cell in cells])
    return aligned(rows, right={3})


def run_csv(runs: Sequence[Listed]) -> Iterator[str]:
    """Yield a table of runs as CSV, with a column for each setting that differs."""
    kinds, keys = _varying(runs)
    columns = list(dict.fromkeys([*kinds, *(key for found in keys.values() for key in found)]))
    rows = []
    for run in runs:
        low, high = run.ends or (math.nan, math.nan)
        numbers = ["" if math.isnan(value) else repr(value) for value in (run.value, low, high, run.seconds)]
        settings = [str(run.settings.get(key, "")) for key in columns]
        rows.append([str(run.directory), run.state, run.where, run.metric, *numbers, *settings])
    heads = ["run", "state", "where", "metric", "value", "low", "high", "seconds"]
    return csv_lines([*heads, *columns], rows)


def _varying(runs: Sequence[Listed]) -> tuple[list[str], dict[tuple[Value | None, ...], list[str]]]:
    """Return the KINDS in which the runs differ, and for each family the other keys in which its runs differ."""
    known = [run for run in runs if run.settings]
    kinds = [key for key in KINDS if len({run.settings.get(key) for run in known}) > 1]
    families: dict[tuple[Value | None, ...], list[Mapping[str, Value]]] = {run.family: [] for run in runs}
    for run in known:
        families[run.family].append(run.settings)
    keys = {}
    for family, members in families.items():
        names = dict.fromkeys(key for settings in members for key in settings if key not in KINDS)
        keys[family] = [key for key in names if len({settings.get(key) for settings in members}) > 1]
    return kinds, keys


def _brief(key: str, keys: Mapping[tuple[Value | None, ...], Sequence[str]]) -> str:
    """Return the last part of a key if it is clear: `lr`, `strategy`, `stages.1.epochs`."""
    if key in KINDS:
        return key.removesuffix(".name")
    last = key.rpartition(".")[2]
    others = {other for found in keys.values() for other in found if other.rpartition(".")[2] == last}
    return last if others == {key} else key.partition(".")[2] or key


def _short(value: Value) -> str:
    text = f"{value:.5g}" if isinstance(value, float) and not isinstance(value, bool) else str(value)
    return text if len(text) <= 30 else f"{text[:29]}…"


def _place(run: Listed, order: str) -> tuple[object, ...]:
    if order == "time":
        return (run.changed, run.directory.name)
    if order == "seconds":
        return (*_number_first(run.seconds), run.directory.name)
    if order == "name":
        return (run.directory.name,)
    best = run.value if run.metric.endswith("loss") else -run.value
    data = str(run.settings.get("target.name", run.settings.get("dataset.name", "")))
    task = str(run.settings.get("task.name", ""))
    return (data, task, *_number_first(best), run.changed, run.directory.name)


def _number_first(value: float) -> tuple[bool, float]:
    """Return what sorts numbers before NaN, with which nothing compares."""
    return (True, 0.0) if math.isnan(value) else (False, value)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the run directories in a folder; skip folders that cannot be listed."""
    try:
        entries = [Path(one.path) for one in os.scandir(folder) if one.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in entries:
        if os.path.isfile(path / "status.json"):
            yield path
        elif depth > 1:
            yield from _below(path, depth - 1)


def listed(path: Path) -> Listed:
    """Return what a list says of a run; a damaged run does not prevent the lines of the others."""
    run, changed = RunDirectory(path), 0.0
    try:
        changed = path.stat().st_mtime
        settings, status = settings_of(path), run.status
        state = "killed" if status.get("state") == "running" and run.killed else str(status.get("state", "not begun"))
        if state != "finished":
            row = last_row(path)
            where = f"{row['stage']}, epoch {int(row['epoch']) + 1}" if {"stage", "epoch"} <= row.keys() else ""
            reason = " ".join(str(status.get("error", "")).split())[:_REASON] if state == "failed" else where
            return Listed(path, _STATES.get(state, state), reason, changed, settings=settings)
        metrics = run.metrics
        name = headline_in(metrics) or next(iter(sorted(metrics)), "")
        ends = interval_of(metrics, name) if "/" in name else None
        seconds = metrics.get("train/seconds", math.nan)
        return Listed(path, state, "", changed, name, metrics.get(name, math.nan), ends, seconds, settings)
    except (TlxError, OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Listed(path, "unreadable", changed=changed)


def settings_of(path: Path) -> Mapping[str, Value]:
    """Return the settings of a run; those of tlx 0.1 are in its config.yaml, which takes longer to read."""
    found = read_settings(path)
    if found is None:
        from tlx.config.settings import settings

        try:
            return settings(read_config(path))
        except FileNotFoundError:
            return {}
    return found
