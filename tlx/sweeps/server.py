"""Imported by the server that forks jobs, and by nothing else: signals that a cluster sends to all are not for it.

SLURM sends the warning that time is nearly up (SIGUSR2) and the end of a cancelled job (SIGTERM) to every process. The
server has to outlive its jobs, whose ends it reports; it goes when the process that started it does.
"""

from __future__ import annotations

import signal

from tlx.imports import start_lean

start_lean()
for _number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(_number, signal.SIG_IGN)
