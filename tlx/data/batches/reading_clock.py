"""How long processes read: seconds and images, counted by each in memory that they share."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch.utils.data import get_worker_info

_COUNT = struct.Struct("<dq")  # seconds, images
_PROCESSES = 256


class Read(NamedTuple):
    """What all reading processes together have done: seconds of reading, images read."""

    seconds: float
    images: int


class ReadingClock:
    """Counts what this process and those that it forks read."""

    def __init__(self) -> None:
        self._counts = mmap.mmap(-1, _COUNT.size * _PROCESSES)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory out: a process that is not forked counts for itself alone."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew."""
        self.__init__()  # type: ignore[misc]

    @contextmanager
    def reading(self, images: int) -> Iterator[None]:
        """Count the time of this block, in which images are read."""
        start = time.perf_counter()
        yield
        worker = get_worker_info()
        place = _COUNT.size * (0 if worker is None else worker.id % _PROCESSES)  # of this process alone
        seconds, before = _COUNT.unpack_from(self._counts, place)
        _COUNT.pack_into(self._counts, place, seconds + time.perf_counter() - start, before + images)

    def read(self) -> Read:
        """Return what was counted so far."""
        counts = [*_COUNT.iter_unpack(self._counts[:])]
        return Read(sum(seconds for seconds, _ in counts), sum(images for _, images in counts))
