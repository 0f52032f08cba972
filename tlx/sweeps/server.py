"""Imported by the server that forks jobs, and by nothing else: signals that a cluster sends to all are not for it.

SLURM sends the warning that time is nearly up (SIGUSR2) and the end of a cancelled job (SIGTERM) to every process. The
server has to outlive its jobs, whose ends it reports; it goes when the process that started it and its jobs are gone,
and removes the folder with its socket, which a killed process leaves behind.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal

from tlx.base.imports import start_lean

FOLDER = "TLX_SOCKETS"  # the variable that names the folder

atexit.register(os._exit, 0)  # runs last: no shutdown of the interpreter, see tlx.base.ending
start_lean()
if FOLDER in os.environ:
    atexit.register(shutil.rmtree, os.environ.pop(FOLDER), ignore_errors=True)  # forked jobs leave without this
for _number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(_number, signal.SIG_IGN)
