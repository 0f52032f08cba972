"""Forked commands behave like started ones: their output, exit codes, signals and descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.run, pytest.mark.usefixtures("forked_commands")]
TLX = [sys.executable, "-m", "tlx"]


def test_a_fork_answers_as_a_process_does(tmp_path: Path) -> None:
    """Guards against a fork with the wrong streams, exit code or working directory."""
    printed = subprocess.run([*TLX, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("tlx ")
    wrong = subprocess.run([*TLX, "train", "optimiser.lr=1"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "type: optimizer.lr=1" in wrong.stderr
    (tmp_path / "here").mkdir()
    command = [*TLX, "check", "dataset=folder", "dataset.root=here"]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "image" in checked.stdout + checked.stderr, "the folder exists and is empty"
    assert "does not exist" not in checked.stdout + checked.stderr
    both = subprocess.run([*TLX, "nosuch"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert (both.returncode, "nosuch" in both.stdout) == (2, True)


def test_a_fork_can_be_stopped_and_watched(tmp_path: Path) -> None:
    """Guards against signals that reach the server instead of the command, and descriptors that stay open."""
    read, write = os.pipe()
    more = [
        "train", "dataset=digits", "backbone=small_cnn", "dataset.image_size=16", "dataset.num_workers=0",
        "strategy=full", "trainer.stage_epochs=100", "logger=none", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    process = subprocess.Popen(
        [*TLX, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        pass_fds=[write], cwd=ROOT,
    )  # fmt: skip
    os.close(write)
    until = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()[0]
    assert os.getsid(process.pid) == process.pid
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert "stopped by SIGTERM" in output
    assert os.read(read, 1) == b""  # no process holds the other end any more
    os.close(read)
    killed = subprocess.Popen([*TLX, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killed.kill()
    assert killed.wait(20) == -signal.SIGKILL


def test_other_programs_are_started_as_usual() -> None:
    """Guards against a patch that forks commands which it does not know."""
    assert subprocess.run(["echo", "x"], capture_output=True, text=True, check=True).stdout == "x\n"
    code = "import sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
