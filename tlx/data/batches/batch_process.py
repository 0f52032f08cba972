"""What a reading process of a DataLoader does at its start, for each file and with each batch.

It is forked, and ends with the process that forked it. It reads untrusted files, so its time and memory are limited.
Its errors must reach the process that waits for its batches, or that one would wait for ever.
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

# In a job of a sweep, a fork server for the readers would import torch once more.
START_METHOD = "fork" if sys.platform == "linux" else None
TIME = 300.0  # seconds allowed per file; the check of the file allowed 60
_BESIDE = 2**30  # bytes allowed for a batch and its reader, besides the largest image
_ENDED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", re.DOTALL)
T = TypeVar("T")


def begin(worker: int) -> None:
    """Set up a reading process; `worker_init_fn` of a DataLoader."""
    # These signals, sent to all processes of a run, are for the training process; a SIGTERM from it ends this one.
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
    """In a reading process, let the kernel end it if the next file takes too long; elsewhere do nothing."""
    if get_worker_info() is not None:
        signal.setitimer(signal.ITIMER_REAL, TIME)


def handed_over(batch: T) -> T:
    """Move a batch into shared memory, so that an error reaches the waiting process; torch would do it in a thread.

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
    """Translate torch's error about a reading process that ended early; None: it is another error."""
    found = _ENDED.search(str(error))
    if found is None:
        return None
    found = _ENDED.search(str(error.__cause__)) or found  # the cause may name the signal
    why = found[2].split("\n")[0].rstrip(". ")
    if "Alarm clock" in why:
        why = f"took longer than {TIME:.0f} seconds for a file"
    hint = ", perhaps for want of memory" if "Killed" in why else ""
    return TlxError(
        f"expected batches from process {found[1]}, which reads images, but it {why}{hint}; its output is above; "
        "dataset.num_workers=0 reads without such processes"
    )


@contextmanager
def readers_named() -> Iterator[None]:
    """Translate torch's errors about reading processes that end inside this context.

    torch watches them with a signal handler, so the error can be raised anywhere in the training process.

    Raises:
        TlxError: Which process ended, and how.
    """
    try:
        yield
    except RuntimeError as error:
        translated = ended(error)
        if translated is None:
            raise
        raise translated from None


def _obey_owner() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        continue
    os._exit(0)


def _not_sent(error: BaseException, batch: Any) -> None:
    """End the process after a failed send: the training process notices an exit, not the error."""
    traceback.print_exception(error)
    os._exit(1)


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError, IndexError):  # a system without such limits
        import resource

        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        now = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData"))
        limit = now + 3 * memory_limit() + _BESIDE
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
