"""Free shared memory, through which reading processes pass their batches. A container has 64 MB by default."""

from __future__ import annotations

import os

FOLDER = "/dev/shm"
PREFETCHED = 2  # batches that a reading process is ahead: torch's default
_IN_USE = 2  # batches that this process holds


def room() -> int:
    """Return the shared memory in bytes for this process, a share of the machine's; 2**60 where it is unknown."""
    try:
        about = os.statvfs(FOLDER)
    except (OSError, AttributeError):  # a system without this folder, and without a bound
        return 2**60
    return about.f_bavail * about.f_frsize // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def needed(batch: int, processes: int) -> int:
    """Return the bytes of shared memory that `processes` reading processes need for batches of `batch` bytes."""
    return (PREFETCHED * processes + _IN_USE) * batch


def most_processes(batch: int) -> int:
    """Return how many reading processes shared memory has room for with batches of `batch` bytes, at least 1."""
    return max(1, (room() // max(1, batch) - _IN_USE) // PREFETCHED)


def too_small(batch: int, processes: int) -> str:
    """Return why shared memory is too small for `processes` with batches of `batch` bytes; '' if it is not."""
    need, there = needed(batch, processes), room()
    if need <= there:
        return ""
    return (
        f"{FOLDER} has room for {there / 1e6:.0f} MB, batches of {processes} processes need {need / 1e6:.0f}; in a "
        "container --shm-size=1g makes it larger"
    )
