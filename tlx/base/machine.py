"""What can be had of this machine, and of the container or job that this process is in: memory, processes."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_PLENTY = 2**60  # where nobody says; version 1 of cgroups writes a number near it for no limit
_CROWD = 8  # on a machine with fewer cores


def most_processes() -> int:
    """Return how many processes may be started for what a run directory from elsewhere says."""
    return max(_CROWD, os.cpu_count() or 1)


def memory_available() -> int:
    """Return the bytes that can be had, of this machine and of this container; plenty where nobody says."""
    found = [_PLENTY]
    lines = _lines(Path("/proc/meminfo"))
    found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    for line in _lines(_OWN):
        number, _, rest = line.partition(":")
        controllers, _, own = rest.partition(":")
        if number == "0":
            found += _left(_CGROUPS, own, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += _left(_CGROUPS / "memory", own, *names)
    return max(0, min(found))


def _left(root: Path, own: str, limit: str, used: str, cached: str) -> list[int]:
    """Return what is left below the limit of a group and of each that it is in; cached files can be dropped."""
    found = []
    inner = root / own.lstrip("/")
    for group in (inner, *inner.parents):
        if not group.is_relative_to(root):
            break
        most, now = _number(group / limit), _number(group / used)
        if most is None or now is None or most >= _PLENTY:
            continue  # no limit; or a container, which sees its own group at the root alone
        droppable = [line.split()[1] for line in _lines(group / "memory.stat") if line.startswith(f"{cached} ")]
        found.append(most - now + int(next(iter(droppable), 0)))
    return found


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
