"""Memory and processes that are available on this machine, or in the container or job of this process."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_UNLIMITED = 2**60  # if no limit is known; cgroups version 1 writes a number near it for no limit
JOBS = "TLX_JOBS_AT_ONCE"  # the variable that tells a job of a sweep how many run at once
_FEWEST = 8  # processes that are allowed even on a machine with fewer cores


def most_processes() -> int:
    """Return how many processes may be started because a run directory from elsewhere says so."""
    return max(_FEWEST, os.cpu_count() or 1)


def jobs_at_once() -> int:
    """Return how many jobs of a sweep run on this machine at once, this one included; 1 outside a sweep."""
    text = os.environ.get(JOBS, "")
    return max(1, int(text)) if text.isdigit() else 1


def memory_available() -> int:
    """Return the bytes of memory available on this machine and in this container; 2**60 if unknown."""
    found = [_UNLIMITED]
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
    """Return the bytes left below the limit of a group and of each group above it; cached files count as free."""
    found = []
    inner = root / own.lstrip("/")
    for group in (inner, *inner.parents):
        if not group.is_relative_to(root):
            break
        most, now = _number(group / limit), _number(group / used)
        if most is None or now is None or most >= _UNLIMITED:
            continue  # no limit; or a container, which sees only its own group, at the root
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
