"""End Ray's agents together with the process that started Ray: if it is killed, they would wait for minutes.

A separate process records the agents while the starter lives and ends them shortly after it has died. By then the jobs
have ended or are about to end.
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
GRACE = 3.0  # seconds in which they may end on their own


@contextmanager
def ending_with_this_process() -> Iterator[None]:
    """Inside, the agents of a Ray that this process has started end with this process, however it ends."""
    watched = owner.handle()
    command = [sys.executable, "-m", "tlx.sweeps.ray_agents", str(watched), str(os.getpid())]
    helper = subprocess.Popen(command, pass_fds=[watched], env=children.environment(), start_new_session=True)
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


def agents_of(starter: int) -> dict[int, str]:
    """Return the agents among the descendants of a process: their pid and their start time in clock ticks."""
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
    """Return the fields of /proc/PID/stat after the process name: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_below(pid: int, starter: int, parents: dict[int, int]) -> bool:
    while pid not in (0, starter):
        pid = parents.get(pid, 0)
    return pid == starter


def main() -> None:
    """Record the agents of a process until the pipe that it holds is closed, then end the remaining ones."""
    watched, starter = map(int, sys.argv[1:])
    waiting = select.poll()
    waiting.register(watched, select.POLLIN)
    agents: dict[int, str] = {}
    while not waiting.poll(1000):
        agents |= agents_of(starter)
    time.sleep(GRACE)
    for pid, began in agents.items():
        with suppress(OSError):
            if _fields(pid)[19] == began:  # the pid may belong to another process by now
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
