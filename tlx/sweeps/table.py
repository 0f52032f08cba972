"""The results of a sweep: one row per setting, best first, averaged over seeds; one row per run as CSV."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.files import write_text
from tlx.base.printable import aligned
from tlx.measures.interval_text import in_brackets
from tlx.measures.pigeonhole import Difference
from tlx.records.resamples import Resamples, read_resamples
from tlx.runs.run import Run
from tlx.sweeps.comparison import Tested, difference, interval, leaders
from tlx.sweeps.records import ENDED, Record, Records, short
from tlx.tasks.catalog import headline_in

# Keys whose values are samples of what might have been drawn: a setting is averaged over them.
SEEDS = ("seed", "dataset.fold", "dataset.split_seed", "dataset.subset_seed", "target.split_seed")
SHOWN = 3  # metrics in the printed table


@dataclass(frozen=True)
class Row:
    """A setting: the swept keys without seeds.

    Args:
        values: Values of the swept keys.
        seeds: Number of finished runs.
        mean: Mean of each metric over these runs.
        sd: Sample standard deviation of each metric; NaN for one run.
        runs: The finished runs.
        interval: 95 % interval of the mean of each metric of the test images, over images and seeds.
        behind: The main test metric less that of the first row, on the same images and seeds; None: they share none.
        rank: Rows of one rank are not shown to differ from the first of them; None: no row can be compared.
    """

    values: dict[str, str]
    seeds: int
    mean: dict[str, float]
    sd: dict[str, float]
    runs: Sequence[Tested] = ()
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    behind: Difference | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Result:
    """A job and the final metrics of its run; empty if it did not finish."""

    record: Record
    metrics: Mapping[str, float]
    resamples: Resamples | None = None


def results(records: Iterable[Record]) -> list[Result]:
    """Return the results of the jobs from their run directories; the record of a killed writer may be out of date."""
    found = []
    for record in records:
        run = Run(record.run_dir) if record.run_dir else None
        try:
            status = run.status if run is not None else {}
            if run is not None and status.get("state") == "finished" and record.state not in ("failed", "killed"):
                record = record if record.state == "finished" else record.end("finished")
                found.append(Result(record, run.metrics, read_resamples(run.directory)))
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
    groups: dict[tuple[tuple[str, str], ...], dict[str, Tested]] = {}
    for result in found:
        if result.record.state == "finished":
            swept = result.record.swept
            key = tuple((k, v) for k, v in swept.items() if k not in SEEDS)
            seeds = tuple((k, v) for k, v in swept.items() if k in SEEDS)
            run = Tested(seeds, result.metrics, result.resamples)
            groups.setdefault(key, {})[result.record.run_dir] = run  # the same run twice counts once
    rows = []
    for key, runs in groups.items():
        names = sorted({name for run in runs.values() for name in run.metrics})
        columns = {name: [run.metrics[name] for run in runs.values() if name in run.metrics] for name in names}
        mean = {name: statistics.fmean(values) for name, values in columns.items()}
        sd = {name: _sd(values) for name, values in columns.items()}
        own = list(runs.values())
        intervals = {name: ends for name in names if (ends := interval(own, name)) is not None}
        rows.append(Row(dict(key), len(runs), mean, sd, own, intervals))
    sign = 1.0 if mode == "min" else -1.0

    def order(row: Row) -> float:
        value = row.mean.get(monitor, math.nan)
        return math.inf if math.isnan(value) else sign * value

    return _compared(sorted(rows, key=order))


def _compared(rows: list[Row]) -> list[Row]:
    """Add the differences from the first row, and the ranks."""
    name = headline_in({name for row in rows for name in row.mean})
    if name is None or len(rows) < 2:
        return rows
    ranks = leaders([row.runs for row in rows], name)
    behind = [None, *(difference(row.runs, rows[0].runs, name) for row in rows[1:])]
    return [replace(row, behind=one, rank=rank) for row, one, rank in zip(rows, behind, ranks, strict=True)]


def shown_metrics(rows: Sequence[Row], monitor: str) -> list[str]:
    """Return the metrics of the printed table: the monitored one, then test metrics."""
    names = {name for row in rows for name in row.mean}
    plain = [n for n in names if n.count("/") == 1 and not n.endswith(("_low", "_high"))]  # no ends of intervals
    tested = sorted(n for n in plain if n.startswith("test/"))
    first = [n for n in (headline_in(tested), "test/loss") if n in tested]
    return [n for n in [monitor, *first, *(n for n in tested if n not in first)] if n in names][:SHOWN]


def as_text(rows: Sequence[Row], monitor: str) -> str:
    """Return the table for the console, with `0.912 ± 0.004 (0.870 to 0.950)` for several seeds, and what it means."""
    if not rows:
        return "no run has finished"
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    metrics = shown_metrics(rows, monitor)
    several, ranked = any(row.seeds > 1 for row in rows), any(row.behind for row in rows)
    table = [[*keys, *([_seeds_of(rows)] if several else []), *metrics, *(["difference", "rank"] if ranked else [])]]
    for row in rows:
        figures = [_figure(row, name) for name in metrics]
        compared = [_difference(row), "" if row.rank is None else str(row.rank)] if ranked else []
        count = [str(row.seeds)] if several else []
        table.append([*(short(row.values.get(k, "")) for k in keys), *count, *figures, *compared])
    lines = aligned(table, right=range(len(keys), len(table[0])))
    return "\n".join([*lines, *_legend(rows, several, ranked)])


def _legend(rows: Sequence[Row], several: bool, ranked: bool) -> list[str]:
    """Return what the numbers of the table mean."""
    drawn = next((run.resamples.drawn for row in rows for run in row.runs if run.resamples is not None), "test images")
    lines = [f"±: standard deviation over {_seeds_of(rows)}"] if several else []
    if any(row.interval for row in rows):
        lines.append(
            f"in brackets: 95 % interval over the {drawn}" + (f" and the {_seeds_of(rows)}" if several else "")
        )
    if ranked:
        name = headline_in({name for row in rows for name in row.mean})
        lines.append(f"difference: {name} less that of the first row, on the same images")
        lines.append("rank: rows of one rank are not shown to be worse than the first of them")
    return ["", *lines] if lines else []


def _seeds_of(rows: Sequence[Row]) -> str:
    """Return what the rows are averaged over."""
    keys = {key for row in rows for run in row.runs for key, _ in run.seeds}
    return "seeds" if keys <= {"seed"} else "folds" if keys == {"dataset.fold"} else "runs"


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
    settings = [key for key in keys if key not in SEEDS]
    means = [
        {**row.values, "seeds": row.seeds, **_comparison(row)}
        | {f"{name} mean": repr(value) for name, value in row.mean.items()}
        | {f"{name} sd": "" if math.isnan(value) else repr(value) for name, value in row.sd.items()}
        | {f"{name} low": repr(low) for name, (low, _) in row.interval.items()}
        | {f"{name} high": repr(high) for name, (_, high) in row.interval.items()}
        for row in rows
    ]
    known = {name for row in rows for name in row.interval}
    columns = [
        f"{name} {figure}" for name in names for figure in ("mean", "sd", *(("low", "high") if name in known else ()))
    ]
    compared = list(dict.fromkeys(key for row in rows for key in _comparison(row)))
    tables = {
        "runs.csv": _csv(["job", *keys, "state", *names, "note", "run_dir"], runs),
        "table.csv": _csv([*settings, "seeds", *compared, *columns], means),
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


def _figure(row: Row, name: str) -> str:
    mean, sd, ends = row.mean.get(name, math.nan), row.sd.get(name, math.nan), row.interval.get(name)
    spread = "" if math.isnan(sd) else f" ± {sd:.4f}"
    return f"{mean:.4f}{spread}{in_brackets(ends)}"


def _difference(row: Row) -> str:
    return "" if row.behind is None else row.behind.text


def _comparison(row: Row) -> dict[str, str]:
    """Return the cells of a row that compare it with others."""
    one = row.behind
    values = {} if one is None else {"": one.value, " low": one.low, " high": one.high}
    rank = {} if row.rank is None else {"rank": str(row.rank)}
    return rank | {f"difference{end}": "" if math.isnan(value) else repr(value) for end, value in values.items()}
