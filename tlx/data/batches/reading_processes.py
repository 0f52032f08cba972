"""How many processes read images: by how long reading takes, and how long a training step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sized
from typing import Any, NamedTuple, Protocol

from tlx.base.errors import TlxError
from tlx.records.settled import Resolver

WORTH_A_TRIAL = 200  # images; fewer are read by this process before others would have paid for themselves
MOST = 16  # processes; beyond that it is the disk that is waited for
_PATIENCE = 0.4  # seconds that the trial takes, and the image that it ends with
_IMAGES = 64
_HARDLY_ANY = 0.03  # part of a step; reading that takes less waits for no process
_FAST = 0.005  # seconds for a batch; likewise, where nothing is known of the step
_HEADROOM = 1.25  # on a GPU, which waits when a single batch is late


class _Images(Sized, Protocol):
    def __getitem__(self, key: tuple[int, int]) -> Mapping[str, Any]: ...


class Reading(NamedTuple):
    """What the number of reading processes depends on.

    Args:
        read_seconds: What one process takes to read and transform a batch; None: not known.
        step_seconds: What a step takes; None: not known.
        cores: That all training processes of this machine may use.
        processes: Training processes on this machine.
        on_gpu: Whether steps leave the cores free. One of several is then left to the training process.
    """

    read_seconds: float | None
    step_seconds: float | None
    cores: int
    processes: int
    on_gpu: bool


def choose_workers(reading: Reading) -> int:
    """Return how many processes should read for each training process.

    As many as read a batch in the time of a step, and never more than there are cores for. On a CPU reading and
    training take turns on the same cores: there is no headroom in it.
    """
    read_seconds, step_seconds, cores, processes, on_gpu = reading
    share = min(MOST, cores // processes)
    if on_gpu and share > 1:
        share -= 1
    if read_seconds is None or step_seconds is None:
        fast = read_seconds is not None and read_seconds < _FAST
        return 0 if fast else min(8 if on_gpu else 4, share)
    if read_seconds < _HARDLY_ANY * step_seconds:
        return 0
    batches = read_seconds / max(step_seconds, 1e-9)  # that could be trained on while one is read
    return min(share, math.ceil(round(_HEADROOM * batches if on_gpu else batches, 6)))


def seconds_an_image(dataset: _Images) -> float | None:
    """Read some images of a data set, one by one and spread evenly; return the seconds an image.

    None where one cannot be read: who trains on it will be told.
    """
    count = min(_IMAGES, len(dataset))
    places = [k * len(dataset) // count for k in range(count)]
    try:
        _ = dataset[0, places[0]]  # the first one loads what reads the others
        start, done = time.perf_counter(), 0
        for place in places:
            _ = dataset[0, place]
            done += 1
            if time.perf_counter() - start > _PATIENCE:
                break
        return (time.perf_counter() - start) / done
    except TlxError:
        return None


# Made at every start, by the data module: before a loader is there, nobody knows what it will read.
READING_PROCESSES = Resolver("dataset.num_workers", choose_workers)


def told(workers: int, reading: Reading) -> str:
    """Say in a line how many processes read, and why."""
    read_seconds, step_seconds, cores, processes, _ = reading
    read = "how long reading takes is not known"
    if read_seconds is not None:
        read = f"reading a batch takes {1000 * read_seconds:.0f} ms in one process"
    step = "" if step_seconds is None else f", a step takes {1000 * step_seconds:.0f} ms"
    where = f"{cores} core{'s' if cores > 1 else ''}" + (f" for {processes} processes" if processes > 1 else "")
    return f"reading processes: {workers} ({read}{step}; {where})"
