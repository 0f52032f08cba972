"""The number of reading processes: chosen from the times of reading and of a step, corrected by those of an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sized
from typing import Any, NamedTuple, Protocol

from tlx.base.errors import TlxError
from tlx.data.batches.shared_memory import PREFETCHED
from tlx.records.settled import Resolver

WORTH_MEASURING = 200  # images
LEAST_MEASURED = 32  # images that are read in every epoch
WORTH_STARTING = 3.0  # seconds in which this process reads all images of a smaller set
MOST = 32  # processes; with more the disk is the bottleneck
_PATIENCE = 0.4  # seconds of the measurement, plus its last image
_IMAGES = 64
_NEGLIGIBLE = 0.03  # part of a step; faster reading needs no reading process
_FAST = 0.005  # seconds for a batch; faster reading needs no reading process if the step's time is unknown
_HEADROOM = 1.25  # on a GPU, which idles when a batch is late
_WAITED = 0.1  # part of an epoch that steps wait for images; less is not worth further processes
_OWN_MEMORY = 150 * 2**20  # bytes of a reading process, besides its batches
_PART_OF_MEMORY = 1 / 4  # that reading processes may take of what is available


class _Images(Sized, Protocol):
    def __getitem__(self, key: tuple[int, int]) -> Mapping[str, Any]: ...


class Reading(NamedTuple):
    """The inputs that decide the number of reading processes.

    Args:
        read_seconds: Seconds for one process to read and transform a batch; None: unknown.
        step_seconds: Seconds of a step; None: unknown.
        cores: Cores that all training processes of this machine may use.
        processes: Training processes on this machine.
        on_gpu: Whether steps leave the cores free.
        most: Processes that memory has room for.
    """

    read_seconds: float | None
    step_seconds: float | None
    cores: int
    processes: int
    on_gpu: bool
    most: int = MOST


def choose_workers(reading: Reading) -> int:
    """Return the number of reading processes of each training process.

    Enough to read a batch in the time of a step, limited by the cores. On a CPU reading and training share the cores:
    there is no headroom.
    """
    read_seconds, step_seconds, cores, processes, on_gpu, most = reading
    share = min(MOST, most, cores // processes)
    if read_seconds is None or step_seconds is None:
        fast = read_seconds is not None and read_seconds < _FAST
        return 0 if fast else min(share if on_gpu else 4, share)
    if read_seconds < _NEGLIGIBLE * step_seconds:
        return 0
    batches = read_seconds / max(step_seconds, 1e-9)  # trained on while one is read
    return min(share, math.ceil(round(_HEADROOM * batches if on_gpu else batches, 6)))


class EpochTimes(NamedTuple):
    """What an epoch took, without its last step.

    Args:
        images: Images of these steps.
        batches: Their batches.
        seconds: From the first batch to the last.
        waited: Seconds of these in which the training process waited for batches.
        reading: Seconds that the reading processes worked for them, all together.
    """

    images: int
    batches: int
    seconds: float
    waited: float
    reading: float

    def waiting(self, step_seconds: float | None) -> float:
        """Return the part of the time in which steps waited for images.

        Args:
            step_seconds: Seconds of a step on a device that computes beside this process; None: it does not. While
                this process waits for a batch, such a device may still be computing.
        """
        waited = self.waited / self.seconds
        if step_seconds is not None:
            waited = min(waited, 1 - step_seconds * self.batches / self.seconds)
        return max(0.0, waited)


def corrected(workers: int, reading: Reading, waiting: float) -> int:
    """Return the number of reading processes after an epoch, from the times measured in it.

    Args:
        workers: Their number in the epoch.
        reading: The seconds of the epoch.
        waiting: The part of it in which steps waited for images.
    """
    wanted = choose_workers(reading)
    if waiting >= _WAITED:
        return max(workers, wanted)
    return wanted if reading.on_gpu and 2 * wanted <= workers else workers  # on a CPU idle ones take nothing away


def fit_memory(available: int, batch_bytes: int) -> int:
    """Return how many reading processes memory has room for, at least 1.

    Args:
        available: Free memory in bytes.
        batch_bytes: Bytes of a batch.
    """
    return max(1, int(_PART_OF_MEMORY * available) // (_OWN_MEMORY + (PREFETCHED + 1) * batch_bytes))


def seconds_an_image(dataset: _Images) -> float | None:
    """Read evenly spaced images of a data set, one by one; return the seconds per image.

    None if one cannot be read: training will report it.
    """
    count = min(_IMAGES, len(dataset))
    places = [k * len(dataset) // count for k in range(count)]
    try:
        _ = dataset[0, places[0]]  # not timed: it also loads the decoder
        start, done = time.perf_counter(), 0
        for place in places[1:] or places:  # the first one may be kept
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
    read_seconds, step_seconds, cores, processes, *_ = reading
    read = "how long reading takes is not known"
    if read_seconds is not None:
        read = f"reading a batch takes {1000 * read_seconds:.0f} ms in one process"
    step = "" if step_seconds is None else f", a step takes {1000 * step_seconds:.0f} ms"
    where = f"{cores} core{'s' if cores > 1 else ''}" + (f" for {processes} processes" if processes > 1 else "")
    return f"reading processes: {workers} ({read}{step}; {where})"


def describe_epoch(workers: int, epoch: EpochTimes, waiting: float) -> str:
    """Return a line with the images a second of reading and of steps, and with who waits for whom."""
    read = max(1, workers) * epoch.images / max(epoch.reading, 1e-9)
    steps = epoch.images / max(epoch.seconds * (1 - waiting), 1e-9)
    who = f"{workers} process{'es' if workers > 1 else ''} can read" if workers else "this process can read"
    waits = "steps wait for images" if waiting >= _WAITED else "images wait for steps, which wait for them"
    return f"reading: {who} {read:,.0f} images a second, steps take {steps:,.0f}; {waits} {waiting:.0%} of the time"
