"""The number of reading processes, chosen from the times of reading and of a training step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sized
from typing import Any, NamedTuple, Protocol

from tlx.base.errors import TlxError
from tlx.records.settled import Resolver

WORTH_MEASURING = 200  # images; this process reads fewer sooner than others start
MOST = 16  # processes; with more the disk is the bottleneck
_PATIENCE = 0.4  # seconds of the measurement, plus its last image
_IMAGES = 64
_NEGLIGIBLE = 0.03  # part of a step; faster reading needs no reading process
_FAST = 0.005  # seconds for a batch; faster reading needs no reading process if the step's time is unknown
_HEADROOM = 1.25  # on a GPU, which idles when a batch is late


class _Images(Sized, Protocol):
    def __getitem__(self, key: tuple[int, int]) -> Mapping[str, Any]: ...


class Reading(NamedTuple):
    """The inputs that decide the number of reading processes.

    Args:
        read_seconds: Seconds for one process to read and transform a batch; None: unknown.
        step_seconds: Seconds of a step; None: unknown.
        cores: Cores that all training processes of this machine may use.
        processes: Training processes on this machine.
        on_gpu: Whether steps leave the cores free. Of several cores the training process then keeps one.
    """

    read_seconds: float | None
    step_seconds: float | None
    cores: int
    processes: int
    on_gpu: bool


def choose_workers(reading: Reading) -> int:
    """Return the number of reading processes of each training process.

    Enough to read a batch in the time of a step, limited by the cores. On a CPU reading and training share the cores:
    there is no headroom.
    """
    read_seconds, step_seconds, cores, processes, on_gpu = reading
    share = min(MOST, cores // processes)
    if on_gpu and share > 1:
        share -= 1
    if read_seconds is None or step_seconds is None:
        fast = read_seconds is not None and read_seconds < _FAST
        return 0 if fast else min(8 if on_gpu else 4, share)
    if read_seconds < _NEGLIGIBLE * step_seconds:
        return 0
    batches = read_seconds / max(step_seconds, 1e-9)  # trained on while one is read
    return min(share, math.ceil(round(_HEADROOM * batches if on_gpu else batches, 6)))


def seconds_an_image(dataset: _Images) -> float | None:
    """Read evenly spaced images of a data set, one by one; return the seconds per image.

    None if one cannot be read: training will report it.
    """
    count = min(_IMAGES, len(dataset))
    places = [k * len(dataset) // count for k in range(count)]
    try:
        _ = dataset[0, places[0]]  # not timed: it also loads the decoder
        start, done = time.perf_counter(), 0
        for place in places:
            _ = dataset[0, place]
            done += 1
            if time.perf_counter() - start > _PATIENCE:
                break
        return (time.perf_counter() - start) / done
    except TlxError:
        return None


# Chosen by the data module at every start: what will be read is known only when a loader is made.
READING_PROCESSES = Resolver("dataset.num_workers", choose_workers)


def describe_reading(workers: int, reading: Reading) -> str:
    """Return a line with the number of reading processes and the reason."""
    read_seconds, step_seconds, cores, processes, _ = reading
    read = "how long reading takes is not known"
    if read_seconds is not None:
        read = f"reading a batch takes {1000 * read_seconds:.0f} ms in one process"
    step = "" if step_seconds is None else f", a step takes {1000 * step_seconds:.0f} ms"
    where = f"{cores} core{'s' if cores > 1 else ''}" + (f" for {processes} processes" if processes > 1 else "")
    return f"reading processes: {workers} ({read}{step}; {where})"
