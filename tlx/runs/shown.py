"""A run as a notebook shows it: a line, or a table of configuration, figures and links. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from tlx.base.errors import TlxError
from tlx.base.printable import one_line
from tlx.measures.interval_text import between
from tlx.measures.names import interval_of, is_end, is_of_a_class
from tlx.measures.percentiles import LEVEL
from tlx.records.directory import RunDirectory
from tlx.records.files import TESTED
from tlx.runs.run_list import KINDS, Listed, listed

_KEYS = (*KINDS, "optimizer.name", "optimizer.lr", "dataset.batch_size", "dataset.image_size", "seed")
_SELECTED = "val/"  # figures of the split that selects the weights
_REVIEW = "review"


def run_line(run: RunDirectory) -> str:
    """Return a run on one line: directory, state, main test figure with its interval."""
    found = _found(run)
    return f"<Run {', '.join(filter(None, [one_line(f'{run.directory}: {found.status}'), one_line(found.figure)]))}>"


def run_html(run: RunDirectory) -> str:
    """Return a run as HTML. Names may come from anybody, so all are escaped."""
    found = _found(run)
    settings = [(key, _plain(found.settings[key])) for key in _KEYS if found.settings.get(key, "none") != "none"]
    parts = [
        f"<p><b>{_text(run.directory)}</b>: {_text(found.status)}</p>",
        html_table(("configuration", ""), settings),
    ]
    try:
        figures = [*_figures(run.metrics)] if found.state == "finished" else []
    except TlxError:
        figures = []
    if figures:
        parts.append(html_table(("figure", "value", f"{100 * LEVEL:g} % interval"), figures))
    links = [_link(path) for path in _pictures(run)]
    return "".join([*parts, *([f"<p>{', '.join(links)}</p>"] if links else [])])


def _found(run: RunDirectory) -> Listed:
    return listed(run.directory) if run.begun else Listed(run.directory, "not begun")


def _figures(metrics: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    for name in sorted(metrics, key=lambda name: (not name.startswith(TESTED), name)):
        if name.startswith((TESTED, _SELECTED)) and not (is_end(name) or is_of_a_class(name)):
            yield name, f"{metrics[name]:.4f}", between(interval_of(metrics, name))


def _pictures(run: RunDirectory) -> list[Path]:
    try:
        entries = sorted(os.scandir(run.directory / _REVIEW), key=lambda entry: entry.name)
    except OSError:
        return []
    return [Path(one.path) for one in entries if one.name.endswith(".png") and one.is_file(follow_symlinks=False)]


def _link(path: Path) -> str:
    """Return a link that works in a notebook whose directory is the working directory."""
    place = os.path.relpath(path)
    return f'<a href="{quote(f"./{place}")}" target="_blank">{_text(path.stem)}</a>'


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML; heads and cells are escaped."""
    lines = ["".join(f"<th>{_text(head)}</th>" for head in heads)]
    lines += ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _plain(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(value: object) -> str:
    return escape(one_line(value))
