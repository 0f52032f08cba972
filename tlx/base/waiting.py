"""Log what a process waits for if the wait takes long: after one minute, two, four and so on.

These lines are about a process that is alive but makes no progress. A dead one is noticed elsewhere, which ends the
wait: the kernel releases its locks, a DataLoader watches its processes, a connection is closed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("tlx")
FIRST = 60.0  # seconds before the first line
_INTERVAL = 0.1  # between two looks at the waits, as a fraction of FIRST


class _Wait:
    def __init__(self, describe: Callable[[], str]) -> None:
        self.describe, self.since, self.due = describe, time.monotonic(), FIRST


_waits: list[_Wait] = []  # of this process
_watched_by: int | None = None  # the process whose thread watches them: a forked one has no such thread


@contextmanager
def waiting_for(describe: Callable[[], str]) -> Iterator[None]:
    """Log what the block waits for if it takes long; otherwise this costs a few microseconds.

    Args:
        describe: Returns what the block waits for; called in another thread. If it returns '', nothing is logged.
    """
    _watch()
    wait = _Wait(describe)
    _waits.append(wait)
    try:
        yield
    finally:
        _waits.remove(wait)


def _watch() -> None:
    global _watched_by
    if _watched_by != os.getpid():
        _waits.clear()
        _watched_by = os.getpid()
        threading.Thread(target=_log_waits, name="tlx waiting", daemon=True).start()


def _log_waits() -> None:
    while True:
        time.sleep(_INTERVAL * FIRST)
        for wait in list(_waits):
            seconds = time.monotonic() - wait.since
            if seconds < wait.due:
                continue
            wait.due *= 2
            try:
                cause = wait.describe()
            except Exception as error:  # what it reads may change meanwhile
                cause = f"something unknown ({type(error).__name__})"
            if cause and wait in _waits:
                log.warning("waiting for %.0f seconds: %s", seconds, cause)
