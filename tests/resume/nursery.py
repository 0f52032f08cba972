"""Starts trainings without waiting for imports: torch is imported once here, each training is a forked process.

Reads run directories from standard input, one a line: each holds an `overrides` file and may hold `kill_at`, see
`tests.resume.kill_points`. Prints the pid of the process as
soon as its configuration is composed, so that a signal finds it training, however slow the machine is; and its exit
code once it has ended (negative: the signal that killed it).
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

from tlx.base.imports import start_lean


def child(directory: Path, ready: int) -> int:
    """Train, with what the parent has imported; return the exit code."""
    import torch

    import tlx
    from tests.resume.kill_points import watch
    from tlx.base.errors import Interrupted

    with (directory / "output.txt").open("a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    try:
        torch.set_num_threads(1)
        watch(directory)
        config = tlx.compose((directory / "overrides").read_text().split())
        os.close(ready)
        tlx.train(config)
    except Interrupted as error:
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    start_lean()
    for module in ("torch.utils.tensorboard", "tlx.train", "tlx.procedures.stages", "tests.resume.kill_points"):
        import_module(module)  # once, for all of them
    import_module("tlx").compose()
    gc.freeze()
    for line in sys.stdin:
        waiting, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            os._exit(child(Path(line.strip()), ready))
        os.close(ready)
        os.read(waiting, 1)  # until the child closes its end, or ends
        os.close(waiting)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
