"""Processes that torchrun or SLURM started, against those that the configuration asks for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tlx import Run, TlxError, compose, train
from tlx.base.ranks import is_first
from tlx.training.distributed import check_world, is_worker


def test_other_processes_than_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against two processes that train alone, at once, into one directory."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_world(compose(["trainer.accelerator=cpu", "trainer.devices=2", "trainer.num_nodes=2"]))
    with pytest.raises(TlxError, match=r"expected 4.*got 2.*trainer\.num_nodes=2 trainer\.devices=2"):
        check_world(compose(["trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=2"]))


def test_auto_is_refused_where_every_process_would_settle_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against `auto` reaching Lightning, which knows no such precision."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for key in ("precision", "channels_last"):
        with pytest.raises(TlxError, match=rf"trainer\.{key}"):
            check_world(compose(["trainer.accelerator=cpu", "trainer.devices=2", f"trainer.{key}=auto"]))


ALLOCATION = {"JOB_ID": "9", "JOB_NAME": "job", "NTASKS": "2", "NNODES": "1", "NODELIST": "localhost", "NODEID": "0"}


@pytest.mark.run
def test_an_allocation_is_no_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uneven: list[str]) -> None:
    """Guards against waiting for processes that nobody has started: SLURM_NTASKS says how many an allocation allows,
    and Lightning takes it for how many there are (in a batch script, which has a SLURM_PROCID, too)."""
    for key, value in {**ALLOCATION, "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    assert not is_worker()
    run = train(compose([*uneven, "strategy=full", "trainer.accelerator=cpu", f"run_dir={tmp_path / 'run'}"]))
    assert run.finished
    assert run.test()["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])


def test_a_step_says_how_many_processes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against the number of an allocation, of which a step may use fewer, and against two first processes."""
    for key, value in {**ALLOCATION, "NTASKS": "4", "STEP_NUM_TASKS": "2", "PROCID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    assert is_worker()
    assert not is_first()
    check_world(compose(["trainer.accelerator=cpu", "trainer.devices=2"]))
    with pytest.raises(TlxError, match=r"expected 2.*got 4"):
        check_world(compose(["trainer.accelerator=cpu", "trainer.devices=4"]))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert not is_worker()
    assert is_first()


def test_other_machines_on_which_nobody_started_anything_are_refused(tmp_path: Path) -> None:
    """Guards against waiting for them."""
    with pytest.raises(TlxError, match=r"trainer\.num_nodes: expected 1 for a single process, got 2.*srun"):
        train(compose(["trainer.accelerator=cpu", "trainer.num_nodes=2", f"run_dir={tmp_path / 'run'}"]))
    assert not (tmp_path / "run").exists()


@pytest.mark.nightly
def test_the_processes_of_a_step_train_together(tmp_path: Path, uneven: list[str]) -> None:
    """Guards against a step whose processes do not find one another, or one refused for what its allocation says."""
    told = [*uneven, "strategy=full", "trainer.accelerator=cpu", "trainer.devices=2", f"run_dir={tmp_path / 'run'}"]
    step = {**ALLOCATION, "NTASKS": "4", "STEP_NUM_TASKS": "2"}
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1]), "OMP_NUM_THREADS": "1"}
    both = []
    for rank in "01":
        variables = {f"SLURM_{key}": value for key, value in {**step, "PROCID": rank, "LOCALID": rank}.items()}
        command = [sys.executable, "-m", "tlx", "train", *told]
        both.append(subprocess.Popen(command, env={**os.environ, **place, **variables}))
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert Run(tmp_path / "run").finished
