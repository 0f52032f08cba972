"""End a helper process when its owner ends: the process that started it, directly or through another one.

They share a pipe whose writing end only the owner holds. However the owner ends, the kernel closes that end, and a
thread of the helper notices. `PR_SET_PDEATHSIG` is no substitute: it follows the thread that forked, has no effect if
there is a process between the two, and exists only on Linux.
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
_own: tuple[int, int] | None = None  # this process's pipe: the end that its helpers watch, and the one that it holds
_of_forker: int | None = None  # the end that helpers of the process that forked this one watch


def handle() -> int:
    """Return the descriptor that helpers of this process watch, for `pass_fds` of Popen; a fork inherits it."""
    global _own
    with _lock:
        if _own is None:
            _own = os.pipe()
            atexit.register(_release)  # the last registered runs first: before multiprocessing waits for processes
        return _own[0]


def watch(watched: int, then: Callable[[], object]) -> None:
    """Call `then` in a thread when the process that holds the other end of `watched` has ended."""

    def wait() -> None:
        waiting = select.poll()
        waiting.register(watched, select.POLLIN)  # nothing is ever written: it becomes readable when it is closed
        waiting.poll()
        then()

    threading.Thread(target=wait, name="tlx owner", daemon=True).start()


def watch_forker(then: Callable[[], object]) -> None:
    """Call `then` when the process that forked this one has ended, if that one had called `handle` before."""
    if _of_forker is not None:
        watch(_of_forker, then)


class OwnerSocket:
    """Makes a child, and processes that it starts with the same standard input, end when this process ends.

    One end of a pair of sockets is the child's standard input, because a library that starts further processes passes
    that on, and no other descriptor. Unlike a pipe, it also shows this process when the last of them has ended.
    """

    def __init__(self) -> None:
        self._own_end, self.child_end = socket.socketpair()

    def child_started(self) -> None:
        """Close the child's end in this process; the child has it as standard input."""
        self.child_end.close()

    def close(self, seconds: float) -> None:
        """Make the remaining processes end; wait for them, at most this many seconds."""
        with suppress(OSError):
            self._own_end.shutdown(socket.SHUT_WR)
        waiting = select.poll()
        waiting.register(self._own_end, select.POLLIN)
        waiting.poll(1000 * seconds)
        self._own_end.close()


def stdin_variable() -> dict[str, str]:
    """Return the variable by which a child and its children know that an OwnerSocket is their standard input."""
    return {_ON_STDIN: "1"}


def watch_stdin() -> None:
    """Send this process SIGTERM when its owner has ended, if an OwnerSocket is its standard input."""
    if os.environ.get(_ON_STDIN) == "1":
        watch(0, lambda: os.kill(os.getpid(), signal.SIGTERM))


def _release() -> None:
    """Let the helpers end before multiprocessing waits for them at the end of this process."""
    global _own
    if _own is not None:
        ends, _own = _own, None
        for end in ends:
            with suppress(OSError):
                os.close(end)


def _forked() -> None:
    """Close the owner's end in a forked process, which is a helper."""
    global _lock, _own, _of_forker
    _lock = threading.Lock()
    if _own is not None:
        _of_forker, held = _own
        _own = None
        with suppress(OSError):
            os.close(held)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
