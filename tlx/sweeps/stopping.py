"""The request to stop a sweep: a signal sets it, and the code that waits for jobs checks it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tlx.base.errors import Interrupted


class Stop:
    """The request that the jobs save and end.

    Attributes:
        number: The signal; None while there is no request.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None

    @contextmanager
    def on_signals(self, *numbers: signal.Signals) -> Iterator[None]:
        """Inside, record the first signal; raise KeyboardInterrupt on a second one.

        Does nothing outside the main thread, because only the main thread receives signals.
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
        """Raise Interrupted with the usual exit code if a signal was received."""
        if self.number is not None:
            raise Interrupted(f"stopped by {self.number.name}", exit_code=128 + self.number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = signal.Signals(number)


SWEEP = Stop()  # for the sweep that this process runs
