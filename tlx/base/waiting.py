"""A line in the log where something is waited for that does not come: for whom, after one minute, two, four and so on.

Whether that one is dead is for others to find out, who then end the wait: the kernel releases its locks, a DataLoader
looks after its processes, a connection is closed. These lines are for one who is alive and does not go on.
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
_LOOK = 0.1  # how often to look, in parts of FIRST


class _Wait:
    def __init__(self, for_whom: Callable[[], str]) -> None:
        self.for_whom, self.since, self.due = for_whom, time.monotonic(), FIRST


_waits: list[_Wait] = []  # of this process
_watched_by: int | None = None  # the process whose thread looks at them: a forked one has no such thread


@contextmanager
def waiting_for(for_whom: Callable[[], str]) -> Iterator[None]:
    """Say in the log for whom, should the block take long; costs a few microseconds where it does not.

    Args:
        for_whom: Called in another thread, should it come to that; '' says nothing.
    """
    _watch()
    wait = _Wait(for_whom)
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
        threading.Thread(target=_look, name="tlx waiting", daemon=True).start()


def _look() -> None:
    while True:
        time.sleep(_LOOK * FIRST)
        for wait in list(_waits):
            seconds = time.monotonic() - wait.since
            if seconds < wait.due:
                continue
            wait.due *= 2
            try:
                told = wait.for_whom()
            except Exception as error:  # what it looks at may change meanwhile
                told = f"something unknown ({type(error).__name__})"
            if told and wait in _waits:
                log.warning("waiting for %.0f seconds: %s", seconds, told)
