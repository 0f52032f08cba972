"""One GPU per job: each GPU of a machine has a lock file, which a job holds while it trains.

The kernel releases the locks of a process that ends for any reason. Several sweeps on one machine can share its GPUs.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tlx.base.children import program

POLL = 0.5  # seconds between attempts while all GPUs are taken


def installed() -> list[str]:
    """Return the UUIDs of this machine's NVIDIA GPUs in the order of their indices; none without a driver."""
    smi = program("nvidia-smi")
    if smi is None:
        return []
    try:
        done = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+:.*\(UUID: (GPU-[\w-]+)\)", done.stdout, re.MULTILINE) if done.returncode == 0 else []


def visible(uuids: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the GPUs that jobs may use, as `{CUDA_VISIBLE_DEVICES of a job: name of the lock}`.

    Args:
        uuids: Result of `installed`.
        environment: Its CUDA_VISIBLE_DEVICES may select GPUs by index or UUID (or MIG UUID).
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return {uuid: uuid for uuid in uuids}
    found: dict[str, str] = {}
    for token in (part.strip() for part in chosen.split(",")):
        if token.isdigit() and int(token) < len(uuids):
            found[token] = uuids[int(token)]
        elif token.startswith(("GPU-", "MIG-")):
            found[token] = next((uuid for uuid in uuids if uuid.startswith(token)), token)
        else:  # like CUDA, ignore everything after an unknown entry
            break
    return found


def wanted(devices: object, accelerator: str) -> int:
    """Return how many GPUs each of several concurrent jobs takes: 1 for `auto`; 0 on the CPU or with chosen devices."""
    if accelerator not in ("auto", "gpu", "cuda") or isinstance(devices, list):
        return 0
    return devices if isinstance(devices, int) and devices > 0 else 1


@contextmanager
def lease(
    names: Mapping[str, str], count: int, stopped: Callable[[], bool] = lambda: False, folder: Path | None = None
) -> Iterator[list[str]]:
    """Hold `count` GPUs; wait while too few are free. Yield their keys in `names`; none if stopped while waiting.

    Args:
        names: Result of `visible`.
        count: Number of GPUs, at most all of them.
        stopped: Whether to stop waiting.
        folder: Folder of the lock files.
    """
    folder = folder or Path(tempfile.gettempdir()) / "tlx-gpus"
    folder.mkdir(parents=True, exist_ok=True)
    count = min(count, len(names))
    while count:
        held: dict[str, int] = {}
        try:
            door = _lock(folder / "door.lock", wait=True)  # or two jobs of two GPUs each could deadlock
            for key, name in names.items():
                handle = _lock(folder / f"{name}.lock") if len(held) < count else None
                if handle is not None:
                    held[key] = handle
            if door is not None:
                os.close(door)
            if len(held) == count:
                yield list(held)
                return
        finally:
            for handle in held.values():
                os.close(handle)
        if stopped():
            break
        time.sleep(POLL)
    yield []


def _lock(path: Path, wait: bool = False) -> int | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:  # created by another user of the machine
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle
