"""The results of a sweep: one row per setting, best first, averaged over seeds; one row per run as CSV."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.files import write_text
from tlx.runs.run import Run
from tlx.sweeps.records import ENDED, Record, Records, short
from tlx.tasks.catalog import headline_in

SEED = "seed"
SHOWN = 3  # metrics in the printed table


@dataclass(frozen=True)
class Row:
    """A setting: the swept keys without the seed.

    Args:
        values: Values of the swept keys.
        seeds: Number of finished runs.
        mean: Mean of each metric over these runs.
        sd: Sample standard deviation of each metric; NaN for one run.
    """

    values: dict[str, str]
    seeds: int
    mean: dict[str, float]
    sd: dict[str, float]


@dataclass(frozen=True)
class Result:
    """A job and the final metrics of its run; empty if it did not finish."""

    record: Record
    metrics: Mapping[str, float]


def results(records: Iterable[Record]) -> list[Result]:
    """Return the results of the jobs from their run directories; the record of a killed writer may be out of date."""
    found = []
    for record in records:
        run = Run(record.run_dir) if record.run_dir else None
        try:
            status = run.status if run is not None else {}
            if run is not None and status.get("state") == "finished" and record.state not in ("failed", "killed"):
                record = record if record.state == "finished" else record.end("finished")
                found.append(Result(record, run.metrics))
                continue
        except TlxError as error:  # a damaged file must not prevent the table of the others
            found.append(Result(record.end("failed", str(error)), {}))
            continue
        if record.state not in ENDED and status.get("state") == "interrupted":
            record = record.end("interrupted", status.get("reason", ""))
        found.append(Result(record, {}))
    return found


def aggregate(found: Sequence[Result], monitor: str, mode: str) -> list[Row]:
    """Return one row per setting with a finished run, best mean of the monitored value first."""
    groups: dict[tuple[tuple[str, str], ...], dict[str, Mapping[str, float]]] = {}
    for result in found:
        if result.record.state == "finished":
            key = tuple((k, v) for k, v in result.record.swept.items() if k != SEED)
            groups.setdefault(key, {})[result.record.run_dir] = result.metrics  # the same run twice counts once
    rows = []
    for key, runs in groups.items():
        names = sorted({name for metrics in runs.values() for name in metrics})
        columns = {name: [m[name] for m in runs.values() if name in m] for name in names}
        mean = {name: statistics.fmean(values) for name, values in columns.items()}
        sd = {name: _sd(values) for name, values in columns.items()}
        rows.append(Row(dict(key), len(runs), mean, sd))
    sign = 1.0 if mode == "min" else -1.0

    def order(row: Row) -> float:
        value = row.mean.get(monitor, math.nan)
        return math.inf if math.isnan(value) else sign * value

    return sorted(rows, key=order)


def shown_metrics(rows: Sequence[Row], monitor: str) -> list[str]:
    """Return the metrics of the printed table: the monitored one, then test metrics."""
    names = {name for row in rows for name in row.mean}
    plain = [n for n in names if n.count("/") == 1 and not n.endswith(("_low", "_high"))]  # no ends of intervals
    tested = sorted(n for n in plain if n.startswith("test/"))
    first = [n for n in (headline_in(tested), "test/loss") if n in tested]
    return [n for n in [monitor, *first, *(n for n in tested if n not in first)] if n in names][:SHOWN]


def as_text(rows: Sequence[Row], monitor: str) -> str:
    """Return the table for the console, with `0.912 ± 0.004` for several seeds."""
    if not rows:
        return "no run has finished"
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    metrics = shown_metrics(rows, monitor)
    several = any(row.seeds > 1 for row in rows)
    table = [[*keys, "seeds", *metrics] if several else [*keys, *metrics]]
    for row in rows:
        figures = [_figure(row.mean.get(name, math.nan), row.sd.get(name, math.nan)) for name in metrics]
        table.append([*(short(row.values.get(k, "")) for k in keys), *([str(row.seeds)] if several else []), *figures])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    left = len(keys)
    lines = []
    for line in table:
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write_csv(directory: Path, found: Sequence[Result], rows: Sequence[Row]) -> list[Path]:
    """Write `runs.csv`, one row per run, and `table.csv`, one row per setting; return their paths."""
    keys = list(dict.fromkeys(key for result in found for key in result.record.swept))
    names = sorted({name for result in found for name in result.metrics})
    runs = [
        {
            "job": result.record.number,
            **result.record.swept,
            "state": result.record.state,
            **{name: repr(value) for name, value in result.metrics.items()},
            "note": result.record.note,
            "run_dir": result.record.run_dir,
        }
        for result in found
    ]
    settings = [key for key in keys if key != SEED]
    means = [
        {**row.values, "seeds": row.seeds}
        | {f"{name} mean": repr(value) for name, value in row.mean.items()}
        | {f"{name} sd": "" if math.isnan(value) else repr(value) for name, value in row.sd.items()}
        for row in rows
    ]
    columns = [f"{name} {figure}" for name in names for figure in ("mean", "sd")]
    tables = {
        "runs.csv": _csv(["job", *keys, "state", *names, "note", "run_dir"], runs),
        "table.csv": _csv([*settings, "seeds", *columns], means),
    }
    for name, text in tables.items():
        write_text(directory / name, text)
    return [directory / name for name in tables]


def report(directory: Path) -> tuple[str, list[Result]]:
    """Write the tables of a sweep; return its final report as text, and its jobs."""
    records = Records(directory)
    about = records.about
    found = results(records)
    rows = aggregate(found, about["monitor"], about["mode"])
    paths = write_csv(directory, found, rows)
    lines = ["", as_text(rows, about["monitor"])]
    unfinished = [r.record for r in found if r.record.state != "finished"]
    for state in ("failed", "killed", "interrupted", "pruned", "running", "waiting"):
        those = [record for record in unfinished if record.state == state]
        if those:
            lines += ["", f"{len(those)} {'not begun' if state == 'waiting' else state}:"]
            lines += [_line(record) for record in those]
    lines += ["", "tables: " + ", ".join(str(path) for path in paths)]
    return "\n".join(lines), found


def _line(record: Record) -> str:
    note = " ".join(record.note.split())
    where = f"\n      {record.run_dir}" if record.run_dir and record.state not in ("pruned", "waiting") else ""
    return f"  {record.name}{': ' + note if note else ''}{where}"


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan


def _figure(mean: float, sd: float) -> str:
    return f"{mean:.4f}" if math.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"
