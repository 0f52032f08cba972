"""SIGTERM, Ctrl-C and a closing terminal end a run in order: it saves, says so in its status, and can be resumed."""

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
    """What was asked for by a signal, and whether the run stops at once or at its next step.

    Outside `deferred` a signal raises Interrupted where it arrives. Inside, the first one only sets `requested`, which
    the training loop looks at after each step; a second one raises.

    Args:
        patient: A second one changes nothing: who asks is another process, which ends this one when it takes too long.
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested: signal.Signals | None = None
        self.watched = False  # whether signals are handled
        self._patient, self._deferred = patient, False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals inside; nothing is done outside the main thread, which alone receives signals.

        Under nohup a terminal that closes changes nothing.
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
        """Inside, leave it to the training loop when to stop."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def stop(self) -> None:
        """Raise what was asked for.

        Raises:
            Interrupted: With the customary exit code: 143 for SIGTERM, 130 for Ctrl-C, 129 for SIGHUP.
        """
        number = self.requested or signal.SIGTERM
        raise Interrupted(f"stopped by {number.name}", exit_code=128 + number)

    def _receive(self, number: int, frame: FrameType | None) -> Any:
        again = self.requested is not None
        if again and (self._patient or number == signal.SIGHUP):  # of a terminal it may come from shell and kernel
            return
        self.requested = signal.Signals(number)
        if again or not self._deferred:
            self.stop()
        more = "" if self._patient else " (a second one stops at once)"
        log.info("%s: saving after this step%s", self.requested.name, more)
