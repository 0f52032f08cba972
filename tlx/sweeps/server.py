"""Set up the server that forks jobs, which alone imports this module: it ignores signals that a cluster sends to all.

SLURM sends the warning that time is nearly up (SIGUSR2) and the end of a cancelled job (SIGTERM) to every process. The
server must outlive its jobs because it reports their ends. It ends after its jobs and the process that started it, and
removes the folder of its socket, which a killed process leaves behind.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal

from tlx.base.imports import start_lean

FOLDER = "TLX_SOCKETS"  # the variable that names the folder

atexit.register(os._exit, 0)  # runs last and skips the interpreter's shutdown, see tlx.base.ending
start_lean()
if FOLDER in os.environ:
    atexit.register(shutil.rmtree, os.environ.pop(FOLDER), ignore_errors=True)  # forked jobs do not run this
for _number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(_number, signal.SIG_IGN)
