"""How a process of tlx ends: without taking apart what it has imported.

Python destroys every module and every object at its end, which takes it 1.5 seconds after an import of torch. The
kernel frees the same memory at once.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable


def run(main: Callable[[], None]) -> None:
    """Call `main`, and have the process end with its exit code as soon as the functions of `atexit` have been called.

    Threads have ended by then, files are written and the standard streams are flushed, as always, and an error has
    had its traceback. Only KeyboardInterrupt ends the process in Python's own way, by a signal.

    Args:
        main: Everything that the process does, what registers with `atexit` included.
    """
    codes: list[int] = []
    # The first to be registered is called last. A tool that measures coverage, for one, has registered before: then
    # Python ends in its own way.
    if atexit._ncallbacks() == 1:  # that of logging
        atexit.register(_leave, codes)
    try:
        main()
    except SystemExit as stop:
        codes.append(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        raise
    except Exception:
        codes.append(1)
        raise
    codes.append(0)


def _leave(codes: list[int]) -> None:
    if not codes:
        return
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # Python tells what went wrong, and has an exit code for it
        return
    os._exit(codes[0] & 0xFF)
