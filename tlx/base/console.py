"""What a run says: plain lines on the console and in tlx.log; Lightning's and torch's own chatter stays out."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tlx.base.files import open_to_append
from tlx.base.legible import ESCAPED
from tlx.base.printable import printable
from tlx.base.ranks import is_first

log = logging.getLogger("tlx")


class _Lines(logging.Formatter):
    """Escapes what would control the terminal that a line is shown on."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().format(record))


class _LogFile(logging.StreamHandler[TextIO]):
    """Adds lines to a file of its own; once it cannot be written any more the run goes on without it."""

    def __init__(self, path: Path) -> None:
        super().__init__(os.fdopen(open_to_append(path), "w", encoding="utf-8", errors=ESCAPED))

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over a full disk, which others report; anything else is an error of the call."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self.stream.close()
        super().close()


@contextmanager
def logging_to(directory: Path) -> Iterator[None]:
    """Send tlx's lines to the console and to `directory/tlx.log`, from the first process only."""
    if log.handlers:  # a run inside a run's own process: already set up
        yield
        return
    handlers: list[logging.Handler] = [logging.NullHandler()]
    if is_first():
        directory.mkdir(parents=True, exist_ok=True)
        # A job of a sweep writes to its file alone: the console has a line a job.
        shown = os.environ.get("TLX_CONSOLE") != "0"
        console: logging.Handler = logging.StreamHandler(sys.stdout) if shown else logging.NullHandler()
        console.setFormatter(_Lines("%(message)s"))
        file = _LogFile(directory / "tlx.log")
        file.setFormatter(_Lines("%(asctime)s %(message)s"))
        handlers = [console, file]
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
    """Silence what Lightning and torch print about every run; their errors still come through."""
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
