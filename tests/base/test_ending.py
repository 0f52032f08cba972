"""How commands exit: without a shutdown of the interpreter, and with all that is due before the exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

MAIN = """
import atexit, logging, logging.handlers, sys, threading, time
from tlx.base import ending

class Module:
    def __del__(self):
        print("taken apart")

module = Module()
cycle = [module]
cycle.append(cycle)

def main():
    atexit.register(print, "registered")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    kept = logging.handlers.MemoryHandler(1000, target=logging.StreamHandler(sys.stdout))
    logging.getLogger().addHandler(kept)
    logging.warning("logged")
    LAST

ending.run(main)
"""


def call(last: str, *flags: str, module: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = module + MAIN.replace("LAST", last)
    return subprocess.run([sys.executable, *flags, "-c", code], env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("last", "code", "told"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('a word')", 1, "a word\n"),
    ],
)
def test_all_that_is_due_before_the_exit_is_done(last: str, code: int, told: str) -> None:
    """Guards against an end that cuts off threads, files, functions of `atexit` or the exit code, and against
    seconds of shutdown."""
    done = call(last)
    assert (done.returncode, done.stderr) == (code, told)
    assert sorted(done.stdout.split()) == ["logged", "registered", "thread"]


def test_an_error_has_its_traceback() -> None:
    """Guards against an error that passes for success, or of which nothing is heard."""
    done = call("raise ValueError('sabotage')")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("ValueError: sabotage")
    assert sorted(done.stdout.split()) == ["logged", "registered", "thread"]


def test_an_interruption_ends_by_its_signal() -> None:
    """Guards against a loop of a shell that goes on after Ctrl-C, since it sees an exit code."""
    done = call("raise KeyboardInterrupt")
    assert done.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in done.stderr


def test_a_function_that_was_registered_before_runs() -> None:
    """Guards against coverage, profiles and monitors of the user's that are never written."""
    done = call("sys.exit(4)", module="import atexit\natexit.register(print, 'coverage')\n")
    assert (done.returncode, "coverage" in done.stdout.split()) == (4, True)


def test_output_that_nobody_takes_is_a_failure(tmp_path: Path) -> None:
    """Guards against a full disk that passes for success."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tlx", "--version"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode != 0
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(("command", "quickly"), [(["-m", "tlx", "lineage", "."], True), (["-c", "pass"], False)])
def test_commands_end_like_that(command: list[str], quickly: bool, tmp_path: Path) -> None:
    """Guards against an entry that goes around it."""
    watching = "import builtins, os\nclass Module:\n    def __del__(self, write=os.write): write(1, b'taken apart')\n"
    (tmp_path / "sitecustomize.py").write_text(f"{watching}builtins.module = Module()\n")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == (2 if quickly else 0)
    assert ("taken apart" in done.stdout) != quickly, done.stdout + done.stderr
