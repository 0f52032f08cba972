"""Trainings that are killed: forks of a process that has imported torch."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT


class Nursery:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.resume.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT,
        )  # fmt: skip

    def start(self, directory: Path) -> int:
        print(directory, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it was faster
            os.kill(pid, number)

    def end(self) -> int:
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    started = Nursery()
    yield started
    started.process.stdin.close()
    started.process.wait(30)
