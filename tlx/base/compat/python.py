"""Private names of Python's own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Functions of pickle, and of skops, which follows it, that ask every module for a name.
SEARCHES = ("whichmodule", "_getattribute")


def registered_at_exit() -> int:
    """Return how many functions are registered to run when the interpreter exits."""
    import atexit

    return atexit._ncallbacks()


def process_settings() -> dict[str, Any]:
    """Return multiprocessing's settings for this process and those that it forks; `tempdir`: the folder of sockets."""
    from multiprocessing import process

    settings: dict[str, Any] = process.current_process()._config  # type: ignore[attr-defined]
    return settings


def on_unsent(call: Callable[[BaseException, Any], None]) -> None:
    """Have multiprocessing's queues call a function with the error and the item when they cannot send an item."""
    from multiprocessing.queues import Queue

    Queue._on_queue_feeder_error = staticmethod(call)  # type: ignore[attr-defined]


def name_in_python3(module: str, name: str) -> str:
    """Return the dotted name in Python 3 of what a pickle of protocol 2 names as in Python 2."""
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
