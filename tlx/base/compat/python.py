"""Private names of Python's own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Functions of pickle, and of skops, which imitates it, that look for a name in every module.
SEARCHES = ("whichmodule", "_getattribute")


def registered_at_exit() -> int:
    """Return how many functions are registered to run when the interpreter exits."""
    import atexit

    return atexit._ncallbacks()


def process_settings() -> dict[str, Any]:
    """Return multiprocessing's settings for this process and its forks; `tempdir` is the folder of its sockets."""
    from multiprocessing import process

    settings: dict[str, Any] = process.current_process()._config  # type: ignore[attr-defined]
    return settings


def on_unsent(call: Callable[[BaseException, Any], None]) -> None:
    """Make multiprocessing's queues call a function with the error and the item when an item cannot be sent."""
    from multiprocessing.queues import Queue

    Queue._on_queue_feeder_error = staticmethod(call)  # type: ignore[attr-defined]


def name_in_python3(module: str, name: str) -> str:
    """Return the dotted Python 3 name for the Python 2 name in a pickle of protocol 2."""
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
