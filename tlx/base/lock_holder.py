"""Find the process that holds a lock (flock) on a file, as far as the kernel of this machine knows it."""

from __future__ import annotations

import os
from pathlib import Path

_TABLE = Path("/proc/locks")


def holder(path: Path) -> str:
    """Return the process that holds the lock on a file, in words."""
    try:
        inode = str(path.stat().st_ino)
        lines = [line.split() for line in _TABLE.read_text(encoding="ascii").splitlines()]
    except OSError:
        lines, inode = [], ""
    for words in lines:  # 1: FLOCK ADVISORY WRITE 1234 08:01:4711 0 EOF
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and int(words[4]) > 0:
            return "this process" if int(words[4]) == os.getpid() else f"process {words[4]}"
    return "a process on another machine or in another container"
