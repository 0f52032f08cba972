"""Whatever is typed ends in a message: random command lines, seeded."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hostile.drawn_overrides import Drawn
from tests.hostile.forked import Forks
from tlx import Run
from tlx.base.allowed import VARIABLE
from tlx.cli import main

# train stops at the composed configuration, or at a key that does not exist, so that nothing trains.
STOP = (["--cfg", "job"], ["no_such_key=1"])
CODES = (0, 2)


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run without weights, which `test` needs; home and working directory hold nothing else."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv(VARIABLE, "")
    return Path(shutil.copytree(tiny_run.directory, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints")))


def stopped(command: list[str], number: int) -> list[str]:
    """Return a command that ends before images are read or a network is trained."""
    ends = STOP[number % 2] if command[0] == "train" else STOP[1] if command[0] == "check" else []
    return [*command, *ends]


def in_this_process(command: list[str]) -> tuple[int, str]:
    code: object = 0
    out = io.StringIO()  # takes surrogates, as a process's own streams do
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main(command)
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int), code
    return code, out.getvalue()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.slow
def test_random_command_lines_end_in_messages(run: Path, tmp_path: Path, monkeypatch) -> None:
    """Guards against a traceback for anything typed, and a file that a refused command leaves behind."""
    monkeypatch.setattr("tlx.procedures.plan_table", lambda config, timed: "")  # building networks takes seconds
    monkeypatch.setattr(sys, "argv", ["tlx"])
    drawn, before = Drawn(seed=16), files(tmp_path)
    for number in range(40):
        command = stopped(drawn.command(str(run)), number)
        monkeypatch.setenv(VARIABLE, "")
        try:
            code, told = in_this_process(command)
        except Exception as error:
            raise AssertionError(f"tlx {command!a} ends in {error!r}") from error
        assert code in CODES, (command, told)
        assert "Traceback" not in told, command
        assert files(tmp_path) == before, command


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    started = Forks(tmp_path_factory.mktemp("said") / "said", seconds=120)
    yield started
    started.close()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
def test_random_command_lines_as_commands(run: Path, tmp_path: Path, forks: Forks, seed: int) -> None:
    """Guards against what only a process of its own shows: its imports, its streams, its exit code."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    drawn, before, wrong = Drawn(seed), files(tmp_path), []
    for number in range(30):
        words = [word.replace("\x00", "").replace("\ud800", "") for word in stopped(drawn.command(str(run)), number)]
        fault = forks.run(words, Path.cwd(), env).fault
        after = files(tmp_path)
        if fault or after != before:
            wrong.append(f"{words!a} leaves {sorted(after ^ before)}, {fault}")
        before = after
    assert not wrong, "\n".join(wrong)
