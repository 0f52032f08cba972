"""Log lines of a run, on the console and in tlx.log, without the routine messages of Lightning and torch."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tlx.base.files import open_to_append
from tlx.base.legible import ESCAPED
from tlx.base.printable import printable
from tlx.base.ranks import is_first

log = logging.getLogger("tlx")


class _Lines(logging.Formatter):
    """Escapes characters that would control the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().format(record))


class _Console(logging.StreamHandler[TextIO]):
    """Prints lines to the standard output of the moment, which a bar replaces so that they appear above it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        self.stream = sys.stdout
        super().emit(record)


class _LogFile(logging.StreamHandler[TextIO]):
    """Appends lines to a file. If the file can no longer be written, the run continues without it."""

    def __init__(self, path: Path) -> None:
        super().__init__(os.fdopen(open_to_append(path), "w", encoding="utf-8", errors=ESCAPED))

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a full disk, which is reported elsewhere; any other exception is a bug in the logging call."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self.stream.close()
        super().close()


@contextmanager
def logging_to(directory: Path) -> Iterator[None]:
    """Send tlx's lines to the console and to `directory/tlx.log`, from process 0 only."""
    if log.handlers:  # a run inside another one, in the same process
        yield
        return
    handlers: list[logging.Handler] = [logging.NullHandler()]
    if is_first():
        directory.mkdir(parents=True, exist_ok=True)
        file = _LogFile(directory / "tlx.log")
        file.setFormatter(_Lines("%(asctime)s %(message)s"))
        # A job of a sweep logs only to its file: the console shows one line per job.
        handlers = [_console() if os.environ.get("TLX_CONSOLE") != "0" else logging.NullHandler(), file]
    with _handled_by(handlers):
        yield


@contextmanager
def logging_to_console() -> Iterator[None]:
    """Send tlx's lines to the console."""
    with _handled_by([_console()]):
        yield


def _console() -> logging.Handler:
    console = _Console(sys.stdout)
    console.setFormatter(_Lines("%(message)s"))
    return console


@contextmanager
def _handled_by(handlers: Sequence[logging.Handler]) -> Iterator[None]:
    for handler in handlers:
        log.addHandler(handler)
    level, propagate = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.setLevel(level)
        log.propagate = propagate
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning and torch print about every run, except errors."""
    names = (
        "matplotlib",
        "pytorch_lightning",
        "pytorch_lightning.utilities.rank_zero",
        "lightning.pytorch",
        "lightning_fabric",
    )
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|torchmetrics)\..*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="(Corrupt|Truncated|Possibly corrupt) .*", module="PIL")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
