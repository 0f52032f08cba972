"""Start a group of processes that train a run together and stop together, with torchrun.

The command is `python -m tlx.training.process_group COUNT RUN`. `python -m torch.distributed.run` only prints how its
processes ended, and processes that lose their connection to a dead one report network errors. This module writes into
the status of the run which process died first, and why.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tlx.base import ending, owner
from tlx.records.directory import RunDirectory

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STOPPED = 128 + signal.SIGTERM  # exit code of a process that stopped on request
SAVING = 60  # seconds that the processes may take to save
LOST = 75  # exit code of a process that lost the connection to another one
MISTAKE = 2  # exit code for an error that the user can fix, as for every command


def main() -> None:
    """Run the processes and wait; exit with code 2 after an error that the user can fix, which the status names."""
    ending.run(_run)


def _run() -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    count, directory = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent also receives them from the terminal
        signal.signal(number, signal.SIG_IGN)
    owner.watch_stdin()
    how = ["--standalone", f"--nproc-per-node={count}", "--signals-to-handle=SIGTERM", f"--shutdown-timeout={SAVING}"]
    arguments = [*how, f"--log-dir={os.devnull}", "-m", "tlx.worker", directory]  # no folder of logs
    try:
        run(parse_args(arguments))
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in in_order(error.failures).items()}
        if STOPPED in codes.values() and set(codes.values()) <= {STOPPED, LOST}:  # one of them was asked to stop
            sys.exit(STOPPED)
        RunDirectory(directory).note("failed", error=what_ended(codes))  # unless the process has noted its error
        sys.exit(MISTAKE if MISTAKE in codes.values() else 1)


def in_order(failures: Mapping[int, ProcessFailure]) -> dict[int, ProcessFailure]:
    """Return failures by rank, earliest first."""
    return dict(sorted(failures.items(), key=lambda item: item[1].timestamp))


def what_ended(codes: Mapping[int, int]) -> str:
    """Return which process ended first, and how.

    Args:
        codes: Exit codes by rank (negative: killed by that signal) of the failed processes, earliest first as far as
            known. Processes that lost another one, or were told to end because of it, are not the cause.
    """
    consequences = {LOST, STOPPED, -signal.SIGTERM}
    rank = next((rank for rank, code in codes.items() if code not in consequences), next(iter(codes)))
    code = codes[rank]
    if code < 0:
        number = signal.Signals(-code)
        hint = ", perhaps out of memory" if number == signal.SIGKILL else ""
        return f"rank {rank} was killed by {number.name}{hint}"
    if code == LOST:
        return f"rank {rank} lost the connection to another process"
    return f"rank {rank} ended with exit code {code} and without a message"


if __name__ == "__main__":
    main()
