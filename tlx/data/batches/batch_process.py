"""What a process that reads batches for a DataLoader does at its beginning, for each file and with each batch.

It is forked, and ends when the process that forked it does. It reads files of others, so it has limits of time and
memory. And what goes wrong in it must reach the one who waits for its batches, or that one waits for ever.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from torch.utils.data import get_worker_info

from tlx.base import owner, sockets
from tlx.base.compat.python import on_unsent
from tlx.base.compat.torch import tensors_in
from tlx.base.errors import TlxError
from tlx.data.batches.shared_memory import FOLDER
from tlx.data.reading.pixels import memory_limit

# A job of a sweep would have its readers forked from yet another server, which imports torch once more.
START_METHOD = "fork" if sys.platform == "linux" else None
TIME = 300.0  # seconds that one file may take; when it was checked it took no more than 60
_BESIDE = 2**30  # bytes that a batch and what reads it may take beside the largest image
_ENDED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", re.DOTALL)
T = TypeVar("T")


def begin(worker: int) -> None:
    """Be a helper of the process that forked this one; `worker_init_fn` of a DataLoader."""
    # Sent to all processes of a run, these signals are for the one that trains; from that one, a SIGTERM is the end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_owner, name="tlx signals", daemon=True).start()
    owner.watch_forker(lambda: os._exit(0))
    sockets.use_no_path()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    on_unsent(_not_sent)
    _limit_memory()


def next_file() -> None:
    """Let the kernel end a process that reads batches if the next file takes too long; elsewhere nothing happens."""
    if get_worker_info() is not None:
        signal.setitimer(signal.ITIMER_REAL, TIME)


def handed_over(batch: T) -> T:
    """Move a batch into shared memory here, where an error is told to the one who waits; torch does it in a thread.

    Raises:
        TlxError: There is no room in shared memory, or no handle left.
    """
    if get_worker_info() is None:
        return batch
    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        for tensor in tensors_in(batch):
            tensor.share_memory_()
    except RuntimeError as error:
        raise TlxError(
            f"{FOLDER}: expected room for the batches of processes that read images, got: {error}; make it larger (in "
            "a container --shm-size=1g) or read without such processes: dataset.num_workers=0"
        ) from error
    return batch


def ended(error: RuntimeError) -> TlxError | None:
    """What torch says of a process that ended before its batch came, in tlx's words; None: it says something else."""
    found = _ENDED.search(str(error))
    if found is None:
        return None
    found = _ENDED.search(str(error.__cause__)) or found  # which may know the signal
    why = found[2].split("\n")[0].rstrip(". ")
    if "Alarm clock" in why:
        why = f"took longer than {TIME:.0f} seconds for a file"
    hint = ", perhaps for want of memory" if "Killed" in why else ""
    return TlxError(
        f"expected batches from process {found[1]}, which reads images, but it {why}{hint}; what it said stands above; "
        "dataset.num_workers=0 reads without such processes"
    )


@contextmanager
def readers_named() -> Iterator[None]:
    """Inside, a reading process that ends is told of in tlx's words.

    torch looks after them with a signal, and so raises wherever the one who trains is at that moment.

    Raises:
        TlxError: Which process ended, and how.
    """
    try:
        yield
    except RuntimeError as error:
        told = ended(error)
        if told is None:
            raise
        raise told from None


def _obey_owner() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        continue
    os._exit(0)


def _not_sent(error: BaseException, batch: Any) -> None:
    """A batch could not be sent, and nobody would hear of it: the end of the process is noticed."""
    traceback.print_exception(error)
    os._exit(1)


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError, IndexError):  # a system without such limits
        import resource

        told = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        now = next(1024 * int(line.split()[1]) for line in told if line.startswith("VmData"))
        limit = now + 3 * memory_limit() + _BESIDE
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
