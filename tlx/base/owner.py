"""A helper ends when its owner does: the process that started it, or had it started.

They share a pipe of which the owner alone holds the writing end. However the owner ends, the kernel closes that end,
and a thread of the helper notices. `PR_SET_PDEATHSIG` would not do: it follows the thread that forked, is lost where a
process lies between the two, and exists on Linux only.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_ON_STDIN = "TLX_OWNER_ON_STDIN"
_lock = threading.Lock()
_own: tuple[int, int] | None = None  # of this process: the end that its helpers watch, and the one that it holds
_above: int | None = None  # what the process that forked this one held, as its helpers watch it


def handle() -> int:
    """Return what helpers of this process watch: for `pass_fds` of Popen; a fork has it anyway."""
    global _own
    with _lock:
        if _own is None:
            _own = os.pipe()
            atexit.register(_release)  # the last registered comes first: before multiprocessing waits for processes
        return _own[0]


def watch(watched: int, then: Callable[[], object]) -> None:
    """Call `then` in a thread, once the process that holds the other end of `watched` is gone."""

    def wait() -> None:
        waiting = select.poll()
        waiting.register(watched, select.POLLIN)  # nothing is ever written: it becomes readable at its end
        waiting.poll()
        then()

    threading.Thread(target=wait, name="tlx owner", daemon=True).start()


def watch_forker(then: Callable[[], object]) -> None:
    """The same for the process that forked this one, if it had called `handle` before."""
    if _above is not None:
        watch(_above, then)


class Leash:
    """Holds a child, and what it starts with the same standard input: all of them are told to end when this ends.

    Its two ends are a pair of sockets. The child's is its standard input; a library that starts further processes hands
    that on, and no other handle. Unlike a pipe it also tells this process when the last of them is gone.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()

    def started(self) -> None:
        """The child has its end as standard input; this process gives it up."""
        self.theirs.close()

    def let_go(self, seconds: float) -> None:
        """Have those that are left end, and wait until they are gone, but no longer than so many seconds."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)
        waiting = select.poll()
        waiting.register(self._ours, select.POLLIN)
        waiting.poll(1000 * seconds)
        self._ours.close()


def on_stdin() -> dict[str, str]:
    """Return the environment variable that tells a child, and its children, that a leash is their standard input."""
    return {_ON_STDIN: "1"}


def watch_stdin() -> None:
    """Receive a SIGTERM once the owner is gone, where the environment says that its leash is standard input."""
    if os.environ.get(_ON_STDIN) == "1":
        watch(0, lambda: os.kill(os.getpid(), signal.SIGTERM))


def _release() -> None:
    """A process that ends lets its helpers go before it waits for them, as multiprocessing does at its end."""
    global _own
    if _own is not None:
        ends, _own = _own, None
        for end in ends:
            with suppress(OSError):
                os.close(end)


def _forked() -> None:
    """In a forked process, which is a helper: it must not hold the end of its owner."""
    global _lock, _own, _above
    _lock = threading.Lock()
    if _own is not None:
        _above, held = _own
        _own = None
        with suppress(OSError):
            os.close(held)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
