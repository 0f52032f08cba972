"""Stop a run on SIGTERM, Ctrl-C or a closed terminal: it saves, updates its status, and can be resumed."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tlx.base.errors import Interrupted

log = logging.getLogger("tlx")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """Receives signals and decides whether the run stops at once or after the current step.

    Outside `deferred` a signal raises Interrupted where it arrives. Inside, the first one only sets `requested`, which
    the training loop reads after each step; a second one raises.

    Args:
        patient: Ignore a second signal: the process that sends it kills this one if that takes too long.
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested: signal.Signals | None = None
        self.watched = False  # whether signals are handled
        self._patient, self._deferred = patient, False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals inside the block; only in the main thread, because no other one receives signals.

        Under nohup, SIGHUP stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        if before[signal.SIGHUP] is signal.SIG_IGN:
            del before[signal.SIGHUP]
        for number in before:
            signal.signal(number, self._receive)
        self.watched = True
        try:
            yield
        finally:
            self.watched = False
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the training loop decide when to stop, inside the block."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def stop(self) -> None:
        """Stop the run because of the received signal.

        Raises:
            Interrupted: Always. Its exit code is 143 for SIGTERM, 130 for Ctrl-C, 129 for SIGHUP.
        """
        number = self.requested or signal.SIGTERM
        raise Interrupted(f"stopped by {number.name}", exit_code=128 + number)

    def _receive(self, number: int, frame: FrameType | None) -> Any:
        again = self.requested is not None
        if again and (self._patient or number == signal.SIGHUP):  # both shell and kernel may send it
            return
        self.requested = signal.Signals(number)
        if again or not self._deferred:
            self.stop()
        more = "" if self._patient else " (a second one stops at once)"
        log.info("%s: saving after this step%s", self.requested.name, more)
