"""Two processes of which one ends before its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import fork_server
from tests.conftest import ROOT
from tlx import Run
from tlx.training.distributed import has_lost_another
from tlx.training.process_group import LOST, what_ended

SABOTEUR = """
import os
from tlx.backbones import small_cnn


def backbone(load=True, name="saboteur", in_channels=3):
    if os.environ.get("RANK") == "1":
        raise MemoryError("no room")
    return small_cnn(width=4, in_channels=in_channels, load=load)
"""


def start(directory: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start a training in two processes."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}
    two = ["trainer.accelerator=cpu", "trainer.devices=2", "strategy=full", f"run_dir={directory / 'run'}"]
    command = [sys.executable, "-m", "tlx", "train", *overrides, *two]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker(run: Path, rank: int) -> int:
    """The process that trains a run directory as one of several."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named = str(run) in (folder / "cmdline").read_text()
            if named and f"RANK={rank}" in (folder / "environ").read_text().split("\0"):
                return int(folder.name)
        except OSError:  # not ours, or gone
            continue
    raise AssertionError(f"no process of rank {rank}")


def wait_for_checkpoint(run: Run) -> None:
    until = time.monotonic() + 300
    while not (run.checkpoints / "last.ckpt").is_file() and time.monotonic() < until:
        time.sleep(0.02)


def goes_on_to_its_end(directory: Path, run: Run, overrides: list[str]) -> None:
    """The same command once more ends well."""
    again = start(directory, *overrides)
    said, told = again.communicate(timeout=300)
    assert again.returncode == 0, told
    assert "resuming after" in said + told
    assert run.finished


def test_the_one_that_ended_first_is_named() -> None:
    """Guards against naming a process that only lost the connection to another one, or was asked to end for it."""
    assert what_ended({0: LOST, 1: -9}) == "rank 1 was killed by SIGKILL, perhaps out of memory"
    assert what_ended({0: -15, 1: -11}) == "rank 1 was killed by SIGSEGV"
    assert what_ended({0: LOST, 1: 3}) == "rank 1 ended with exit code 3 and without a message"
    assert what_ended({0: -15}) == "rank 0 was killed by SIGTERM"
    assert what_ended({1: LOST, 0: LOST}) == "rank 1 lost the connection to another process"
    assert has_lost_another(RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] x"))
    assert not has_lost_another(RuntimeError("CUDA out of memory"))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_commands")
def test_a_killed_process_is_named_and_the_same_command_goes_on(tmp_path: Path, uneven: list[str]) -> None:
    """Guards against a message in gloo's words ("Connection closed by peer") of the one that survived."""
    overrides = [*uneven, "trainer.stage_epochs=8"]
    training, run = start(tmp_path, *overrides), Run(tmp_path / "run")
    wait_for_checkpoint(run)
    forked = [
        one["pid"] for one in fork_server.started() if one["words"][1:] == [str(run.directory)] and one["RANK"] == "1"
    ]
    os.kill(forked[-1], signal.SIGKILL)
    _, told = training.communicate(timeout=300)
    assert training.returncode == 2, told
    last = told.strip().splitlines()[-1]
    assert "rank 1 was killed by SIGKILL, perhaps out of memory; the same command resumes" in last
    assert (run.status["state"], run.status["error"][:29]) == ("failed", "rank 1 was killed by SIGKILL,")
    goes_on_to_its_end(tmp_path, run, overrides)


@pytest.mark.nightly
def test_the_process_that_starts_them_is_killed(tmp_path: Path, uneven: list[str]) -> None:
    """Guards against "exit code -9" as all that is said, and against processes that train on for nobody."""
    overrides = [*uneven, "trainer.stage_epochs=20"]
    training, run = start(tmp_path, *overrides), Run(tmp_path / "run")
    wait_for_checkpoint(run)
    children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    started = [pid for pid in children if "tlx.training.process_group" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(int(started[0]), signal.SIGKILL)
    _, told = training.communicate(timeout=300)
    assert training.returncode == 2, told
    last = told.strip().splitlines()[-1]
    assert "the process that starts them was killed by SIGKILL, perhaps out of memory; the same command" in last
    with pytest.raises(AssertionError, match="no process of rank 0"):
        worker(run.directory, 0)
    goes_on_to_its_end(tmp_path, run, overrides)


@pytest.mark.nightly
def test_an_error_of_one_process_is_told(tmp_path: Path, uneven: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against an exit code in the place of the error, and against a second error that follows from it."""
    (tmp_path / "saboteur.py").write_text(SABOTEUR)
    option = tmp_path / "own" / "backbone" / "saboteur.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: saboteur.backbone\nname: saboteur\n")
    monkeypatch.setenv("TLX_ALLOW_TARGETS", "saboteur")
    overrides = [text for text in uneven if not text.startswith("backbone")]
    training = start(tmp_path, "--config-dir", str(tmp_path / "own"), *overrides, "backbone=saboteur")
    _, told = training.communicate(timeout=300)
    assert training.returncode == 2, told
    last = told.strip().splitlines()[-1]
    assert "rank 1: MemoryError: no room; the same command starts from scratch" in last
    assert Run(tmp_path / "run").status["error"] == "rank 1: MemoryError: no room"
