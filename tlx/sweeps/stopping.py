"""The wish to end a sweep in order: set by a signal, looked at by whoever waits for a job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tlx.base.errors import Interrupted


class Stop:
    """Whether the jobs should save and end, and by which signal.

    Attributes:
        number: The signal; None while the sweep goes on.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None

    @contextmanager
    def on_signals(self, *numbers: signal.Signals) -> Iterator[None]:
        """Inside, the first signal is noted; a second one raises KeyboardInterrupt.

        Outside the main thread, which alone receives signals, nothing is done.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise Interrupted with the customary exit code where a signal came."""
        if self.number is not None:
            raise Interrupted(f"stopped by {self.number.name}", exit_code=128 + self.number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = signal.Signals(number)


SWEEP = Stop()  # of the sweep that this process runs
