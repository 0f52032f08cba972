"""A progress bar on the last line of a terminal; nothing in a file, a pipe or a notebook."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tlx.base.ranks import is_first

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY = 0.1  # seconds between two drawings


class LiveBar:
    """A bar below the lines that this process prints. Lines that `tlx.base.console` prints appear above it.

    It is drawn by the calls of `advance`, without a thread, because image readers are forked from this process.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._done, self._drawn = 0, 0.0

    def begin(self, label: str, total: int) -> None:
        """Show an empty bar, in place of an earlier one, if this is the first process and its output is a terminal.

        Args:
            label: The text before it.
            total: Number of steps.
        """
        if self._progress is None:
            if not (is_first() and sys.stdout.isatty()):  # rich would also draw in a pipe, if FORCE_COLOR is set
                return
            self._progress = _started()
        self._done, self._drawn = 0, time.monotonic()
        if self._progress is not None:
            for task in self._progress.task_ids:
                self._progress.remove_task(task)
            self._progress.add_task(label, total=total)
            self._progress.refresh()

    def advance(self) -> None:
        """Add a step."""
        if self._progress is None:
            return
        self._done += 1
        now = time.monotonic()
        if now - self._drawn >= _EVERY:
            self._drawn = now
            self._progress.update(self._progress.task_ids[0], completed=self._done)
            self._progress.refresh()

    def end(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _started() -> Progress | None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(highlight=False)
    if not console.is_interactive:  # TERM=dumb
        return None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
    progress.start()
    console.show_cursor(True)  # rich hides it; a process that is killed could not show it again
    return progress
