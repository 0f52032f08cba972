"""Ray's own agents end with the process that started Ray: where that is killed they would wait on for minutes.

A process of its own remembers them while the starter lives, and ends them a moment after it is gone; jobs have ended in
order by then, or are about to.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tlx.base import children, owner

AGENTS = (b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")
GRACE = 3.0  # seconds in which they may end by themselves


@contextmanager
def ending_with_this_process() -> Iterator[None]:
    """Inside, the agents of a Ray that this process has started end with it, however it ends."""
    watched = owner.handle()
    command = [sys.executable, "-m", "tlx.sweeps.ray_agents", str(watched), str(os.getpid())]
    helper = subprocess.Popen(command, pass_fds=[watched], env=children.environment(), start_new_session=True)
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


def agents_of(starter: int) -> dict[int, str]:
    """Return the agents below a process: their pid and when they began, in ticks of the kernel."""
    parents: dict[int, int] = {}
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid, fields = int(folder.name), _fields(int(folder.name))
            parents[pid] = int(fields[1])
            if (folder / "cmdline").read_bytes().startswith(AGENTS):
                found[pid] = fields[19]
    return {pid: began for pid, began in found.items() if _is_below(pid, starter, parents)}


def _fields(pid: int) -> list[str]:
    """Return what /proc tells of a process after its name: its state, its parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_below(pid: int, starter: int, parents: dict[int, int]) -> bool:
    while pid not in (0, starter):
        pid = parents.get(pid, 0)
    return pid == starter


def main() -> None:
    """Remember the agents of a process until the pipe that it holds is closed, then end those that are left."""
    watched, starter = map(int, sys.argv[1:])
    waiting = select.poll()
    waiting.register(watched, select.POLLIN)
    agents: dict[int, str] = {}
    while not waiting.poll(1000):
        agents |= agents_of(starter)
    time.sleep(GRACE)
    for pid, began in agents.items():
        with suppress(OSError):
            if _fields(pid)[19] == began:  # the number may be another process's by now
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
