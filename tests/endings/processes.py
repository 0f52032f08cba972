"""What is left of a process and of those that it started: told apart by a variable of their environment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "TLX_TEST_ENDING"


def marked(value: str) -> dict[int, str]:
    """Return the command lines of all living processes that were started with MARK=value, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"{MARK}={value}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(entry.name)] = command[:120]
        except OSError:  # it has just ended
            continue
    return found


def gone(value: str, seconds: float = 10.0) -> dict[int, str]:
    """Wait until all of them are gone; return those that are left, and end them."""
    until = time.monotonic() + seconds
    while (left := marked(value)) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in left:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
    return left


def leftovers(folder: Path, pids: Iterable[int]) -> set[str]:
    """Return what lies in a temporary folder of theirs, and what is called after these processes in shared memory."""
    prefixes = ("tlx-", "pymp-", "torchelastic_", "tmp", "listener-", "joblib_")
    found = {path.name for path in folder.iterdir() if path.name.startswith(prefixes)} - {"tlx-gpus"}
    called = [f"_{pid}_" for pid in pids]
    return found | {path.name for path in Path("/dev/shm").iterdir() if any(name in path.name for name in called)}
