"""Starts the processes that train a run directory together, by torchrun: `python -m tlx.training.crew COUNT RUN`.

`python -m torch.distributed.run` says on standard error how they ended, and those that lose one that has died say so in
the words of the network. Here the status of the run says which one died first, and of what.
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

STOPPED = 128 + signal.SIGTERM  # exit code of one that was stopped in order
SAVING = 60  # seconds that they may take to save where they are
LOST = 75  # exit code of a process that lost another one
MISTAKE = 2  # of one whose error a user can mend, as that of every command


def main() -> None:
    """Run them and wait; exit code 2 where one ended with an error that a user can mend, which the status has."""
    ending.run(_run)


def _run() -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    count, directory = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal, they reach the process that asks this one, too
        signal.signal(number, signal.SIG_IGN)
    owner.watch_stdin()
    how = ["--standalone", f"--nproc-per-node={count}", "--signals-to-handle=SIGTERM", f"--shutdown-timeout={SAVING}"]
    arguments = [*how, f"--log-dir={os.devnull}", "-m", "tlx.worker", directory]  # it would leave a folder of logs
    try:
        run(parse_args(arguments))
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in in_order(error.failures).items()}
        if STOPPED in codes.values() and set(codes.values()) <= {STOPPED, LOST}:  # somebody asked one of them to stop
            sys.exit(STOPPED)
        RunDirectory(directory).note("failed", error=what_ended(codes))  # unless the process itself has said it
        sys.exit(MISTAKE if MISTAKE in codes.values() else 1)


def in_order(failures: Mapping[int, ProcessFailure]) -> dict[int, ProcessFailure]:
    """Return failures by rank, the earliest first."""
    return dict(sorted(failures.items(), key=lambda item: item[1].timestamp))


def what_ended(codes: Mapping[int, int]) -> str:
    """Return which process ended first, and how.

    Args:
        codes: Exit codes by rank (negative: killed by that signal) of those that failed, the earliest first as far as
            is known. Those that lost another one, or were asked to end for it, come second to it.
    """
    asked = {LOST, STOPPED, -signal.SIGTERM}
    rank = next((rank for rank, code in codes.items() if code not in asked), next(iter(codes)))
    code = codes[rank]
    if code < 0:
        number = signal.Signals(-code)
        hint = ", perhaps for want of memory" if number == signal.SIGKILL else ""
        return f"rank {rank} was killed by {number.name}{hint}"
    if code == LOST:
        return f"rank {rank} lost the connection to another process"
    return f"rank {rank} ended with exit code {code} and without a word"


if __name__ == "__main__":
    main()
