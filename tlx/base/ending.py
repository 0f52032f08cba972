"""Exit a process without the interpreter's shutdown, in which Python destroys every module and object.

If torch is imported, the shutdown takes 1.5 seconds. The operating system frees the same memory at once.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable

from tlx.base.compat.python import registered_at_exit


def run(main: Callable[[], None]) -> None:
    """Call `main`; exit with its exit code once the functions registered with `atexit` have run.

    As usual, an error prints its traceback, threads are joined and the standard streams are flushed. After a
    KeyboardInterrupt, Python shuts the process down and ends it by a signal.

    Args:
        main: The whole work of the process.
    """
    codes: list[int] = []
    # The function that is registered first runs last. If a tool such as coverage has registered one before, Python
    # shuts the process down, so that it runs.
    if registered_at_exit() == 1:  # only that of logging
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
    except (OSError, ValueError):  # Python prints the error and sets the exit code
        return
    os._exit(codes[0] & 0xFF)
