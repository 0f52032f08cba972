"""Commands of `tlx` as processes that need not import torch: it is imported once, and each command is a fork of that.

A fork has an exit code, streams, a process group and an end of the interpreter of its own, as a command has. What it
does not show is its start: so one command in ten goes through `python -m tlx`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Ended:
    """How a command ended.

    Attributes:
        code: The exit code; negative: the signal that ended it.
        said: Both streams.
        stayed: Whether a process of its group was still there two seconds after its end.
    """

    code: int
    said: str
    stayed: bool

    @property
    def fault(self) -> str:
        """What no command may end in; an empty text where it ended well or in a message."""
        good = self.code in (0, 2) and not self.stayed and "Traceback" not in self.said
        if good and (self.said.strip() or self.code == 0):
            return ""
        return f"exit code {self.code}{', a process stayed' if self.stayed else ''}: {self.said[-600:]}"


class Forks:
    """Runs commands one after another.

    Args:
        output: A file for their streams, outside the folders that the commands are to leave alone.
        seconds: How long one may take; then it is killed, which shows as code -9.
    """

    def __init__(self, output: Path, seconds: float) -> None:
        self.output, self.seconds, self.asked = output, seconds, 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.forked"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def run(self, words: list[str], directory: Path, environment: dict[str, str]) -> Ended:
        """Run `tlx` with these words in a directory."""
        self.asked += 1
        asked = {"words": words, "directory": str(directory), "environment": environment}
        asked["start"] = [sys.executable, "-m", "tlx"] if self.asked % 10 == 0 else []
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({**asked, "output": str(self.output), "seconds": self.seconds}), file=self.process.stdin)
        self.process.stdin.flush()
        code, stayed = json.loads(self.process.stdout.readline())
        return Ended(code, self.output.read_text(errors="replace"), stayed)

    def close(self) -> None:
        """End the process that forks."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def _become(asked: dict[str, Any]) -> None:
    """Be a command until that returns or raises."""
    os.setpgid(0, 0)
    stream = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["directory"])
    if asked["start"]:
        os.execv(asked["start"][0], [*asked["start"], *asked["words"]])
    from tlx.cli import main

    sys.argv = ["tlx", *asked["words"]]
    main()


def wait(pid: int, seconds: float, patience: float = 2) -> tuple[int, bool]:
    """Return the exit code of a command, and whether a process of its group is left, which is then killed.

    Args:
        pid: Its process, which leads its group.
        seconds: How long it may take before it is killed.
        patience: How long the others of its group may take to end after it, in seconds.
    """
    until = time.monotonic() + seconds
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            ended = os.waitpid(pid, 0)
            break
        time.sleep(0.01)
    until = time.monotonic() + patience
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(pid, 0)
            time.sleep(0.02)
        os.killpg(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(ended[1]), True
    return os.waitstatus_to_exitcode(ended[1]), False


def serve() -> None:
    """Run what is asked for on standard input, a JSON object a line; answer with code and `stayed`."""
    from tlx.base.imports import start_lean

    start_lean()

    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked)  # an exception ends this process as it would end the command
            sys.exit(0)
        print(json.dumps(wait(pid, asked["seconds"])), flush=True)


if __name__ == "__main__":
    try:
        serve()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
