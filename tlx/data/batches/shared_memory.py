"""Room in shared memory, through which reading processes hand over their batches. A container has 64 MB of it."""

from __future__ import annotations

import os

FOLDER = "/dev/shm"
PREFETCHED = 2  # batches that a reading process is ahead, as torch has it
_IN_USE = 2  # batches that this process holds


def room() -> int:
    """Bytes of shared memory that this process may use: those of one machine share it. Plenty where nobody says."""
    try:
        about = os.statvfs(FOLDER)
    except (OSError, AttributeError):  # a system that has it elsewhere, without a bound of its own
        return 2**60
    return about.f_bavail * about.f_frsize // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def needed(batch: int, processes: int) -> int:
    """Bytes of shared memory that so many reading processes need for batches of so many bytes."""
    return (PREFETCHED * processes + _IN_USE) * batch


def too_small(batch: int, processes: int) -> str:
    """Why so many processes cannot read batches of so many bytes; '' where they can."""
    need, there = needed(batch, processes), room()
    if need <= there:
        return ""
    return (
        f"{FOLDER} has room for {there / 1e6:.0f} MB, batches of {processes} processes need {need / 1e6:.0f}; in a "
        "container --shm-size=1g makes it larger"
    )
