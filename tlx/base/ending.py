"""How a process of tlx exits: without the interpreter's shutdown, in which Python destroys every module and object.

After an import of torch that takes 1.5 seconds. The operating system frees the same memory at once.
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

    As usual, threads are joined, the standard streams are flushed, and an error prints its traceback first. After a
    KeyboardInterrupt the process is shut down by Python, which ends it by a signal.

    Args:
        main: All that the process does.
    """
    codes: list[int] = []
    # The function that is registered first runs last. Where a tool such as coverage has registered one before, Python
    # shuts the process down, so that it runs.
    if registered_at_exit() == 1:  # that of logging
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
