"""Compare runs that were tested on the same images: paired differences of their test metrics. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.printable import one_line
from tlx.measures.interval_text import with_interval
from tlx.measures.names import interval_of
from tlx.measures.pigeonhole import Difference, mean_difference
from tlx.records.directory import RunDirectory
from tlx.records.files import TESTED
from tlx.records.resamples import FILE, Resamples, read_resamples
from tlx.runs.run_list import settings_of
from tlx.tasks.catalog import headline_in

_KEYS_AT_MOST = 12  # settings in which two runs differ


@dataclass(frozen=True)
class Compared:
    """A finished run, with what a comparison needs.

    Args:
        run: The run.
        metrics: Its final metrics.
        resamples: Its test metrics in resamples of the test images.
        settings: Its settings by dotted key.
    """

    run: RunDirectory
    metrics: Mapping[str, float]
    resamples: Resamples
    settings: Mapping[str, object]

    @property
    def headline(self) -> str:
        """The name of its main test metric."""
        return headline_in(self.metrics) or min(self.resamples.figures)


def comparison(directories: Sequence[str | Path]) -> str:
    """Return a table of runs, and the differences of each from the first one.

    The interval of a difference comes from resamples of the test images, or of their groups, that both runs share: the
    paired bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 8.3). An image that is hard
    for both runs does not count as a difference between them.

    Raises:
        TlxError: There are fewer than two runs, one is not finished, or they cannot be paired; the message names them.
    """
    if len(directories) < 2:
        raise TlxError("compare: expected at least two runs; type: tlx compare RUN RUN")
    first, *others = [_compared(directory) for directory in directories]
    for other in others:
        _refuse_others(first, other)
    name = first.headline
    rows = [["run", name], *([one.run.place, _with_interval(one.metrics, name)] for one in (first, *others))]
    width = max(len(row[0]) for row in rows)
    lines = [f"{place:<{width}}  {figure}" for place, figure in rows]
    for other in others:
        title = f"{other.run.place} less {first.run.place}, on the same {first.resamples.drawn}:"
        lines += ["", title, *_differences(first, other), *_settings(first, other)]
    return "\n".join(lines)


def paired(first: Compared, other: Compared) -> dict[str, Difference]:
    """Return the differences of another run from the first, by metric."""
    found = {}
    for name, values in other.resamples.figures.items():
        base = first.resamples.figures.get(name)
        if base is None or len(base) != len(values) or name not in first.metrics.keys() & other.metrics.keys():
            continue
        value = other.metrics[name] - first.metrics[name]
        found[name] = mean_difference(name, value, (values - base)[None], first.resamples.units)
    return found


def _compared(directory: str | Path) -> Compared:
    run = RunDirectory(directory)
    metrics = run.metrics
    resamples = read_resamples(run.directory)
    if resamples is None or not resamples.figures:
        raise TlxError(
            f"compare: expected runs with {FILE}, got '{run.place}' without it: it comes from an earlier version, its "
            "test split has a single image, or its task is your own; to train it again: force=true"
        )
    return Compared(run, metrics, resamples, settings_of(run.directory))


def _refuse_others(first: Compared, other: Compared) -> None:
    places = f"'{first.run.place}' and '{other.run.place}'"
    one, two = first.headline.removeprefix(TESTED), other.headline.removeprefix(TESTED)
    if one != two:
        raise TlxError(f"compare: expected runs of one task, got {places}, measured by {one} and by {two}")
    if first.resamples.images != other.resamples.images:
        counts = f"{first.resamples.count:,} and {other.resamples.count:,}"
        raise TlxError(
            f"compare: expected runs that were tested on the same images, got {places} with different ones "
            f"({counts}); their intervals stand beside each other in: tlx runs"
        )


def _differences(first: Compared, other: Compared) -> list[str]:
    found = paired(first, other)
    names = sorted(found, key=lambda name: (name != first.headline, name))
    width = max(map(len, names), default=0)
    lines = []
    for name in names:
        one = found[name]
        verdict = "" if one.worse or one.better else "  not shown to differ"
        lines.append(f"  {name:<{width}}  {one.text}{verdict}")
    return lines


def _settings(first: Compared, other: Compared) -> list[str]:
    """Return the settings in which two runs differ, a line each."""
    keys = sorted(first.settings.keys() | other.settings.keys())
    differ = [key for key in keys if first.settings.get(key) != other.settings.get(key)]
    lines = [f"  {key}: {first.settings.get(key, 'none')} -> {other.settings.get(key, 'none')}" for key in differ]
    more = [f"  and {len(lines) - _KEYS_AT_MOST} more settings"] if len(lines) > _KEYS_AT_MOST else []
    return [one_line(line) for line in [*lines[:_KEYS_AT_MOST], *more]]


def _with_interval(metrics: Mapping[str, float], name: str) -> str:
    return with_interval(metrics[name], interval_of(metrics, name)) if name in metrics else ""
