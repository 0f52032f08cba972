"""List the runs below a folder, one line each, without importing torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.printable import one_line
from tlx.runs.run import Run
from tlx.tasks.catalog import headline_in

DEPTH = 3  # levels of folders to search: outputs/demo/NAME


def run_lines(where: str = "*", folder: str = "outputs") -> list[str]:
    """Return lines `DIRECTORY  state  figure` of runs, oldest first.

    Args:
        where: A folder to search, or a glob for the names of runs in `folder`.
        folder: The default folder of runs.

    Raises:
        TlxError: There are none.
    """
    own = os.path.expanduser(where)
    root, glob = (Path(own), "*") if where != "*" and os.path.isdir(own) else (Path(folder), where)
    found = [path for path in _below(root, DEPTH) if fnmatch(path.name, glob)]
    if not found:
        what = f"a run whose name matches '{glob}'" if glob != "*" else "a run"
        raise TlxError(f"expected {what} in '{root}', got none; to list those in another folder: tlx list runs DIR")
    rows = [(one_line(str(path)), *_state_and_figure(Run(path))) for path in found]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return [f"{name:<{widths[0]}}  {state:<{widths[1]}}  {figure}".rstrip() for name, state, figure in rows]


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the run directories in a folder, oldest first in each folder; skip folders that cannot be listed."""
    try:
        entries = [Path(one.path) for one in os.scandir(folder) if one.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in sorted(entries, key=lambda one: (one.lstat().st_mtime, one.name)):
        if (path / "status.json").is_file():
            yield path
        elif depth > 1:
            yield from _below(path, depth - 1)


def _state_and_figure(run: Run) -> tuple[str, str]:
    """Return state and main figure; a damaged run does not prevent the lines of the others."""
    try:
        state = "killed" if run.killed else str(run.status.get("state", "not begun"))
        metrics = run.metrics if run.finished else {}
        name = headline_in(metrics) or next(iter(sorted(metrics)), None)
        return one_line(state), f"{name} {float(metrics[name]):.4f}" if name else ""
    except (TlxError, OSError, ValueError, TypeError, AttributeError, RecursionError):
        return "unreadable", ""
