"""A sweep that is stopped or killed: its jobs save, none trains on unseen, the next start goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweeps.conftest import Place
from tlx import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_commands")]
LONG = 3000  # epochs, far more than the tests wait for


def begin(place: Place, *more: str) -> tuple[subprocess.Popen[str], Run]:
    """Start a sweep and wait until its first job has trained an epoch more than it had."""
    arguments = [a for a in place.arguments("seed=0,1", *more) if a != "trainer.stage_epochs=1"]
    arguments.append(f"strategy.stages.0.epochs={LONG}")
    before = rows(place.directory)
    process = subprocess.Popen(
        [sys.executable, "-m", "tlx", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until = time.monotonic() + 120
    while rows(place.directory) <= before + 1 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0]
    (table,) = (place.directory / "outputs").glob("*-s0-*/metrics.csv")
    return process, Run(table.parent)


def rows(directory: Path) -> int:
    return sum(p.read_text().count("\n") for p in (directory / "outputs").glob("*-s0-*/metrics.csv"))


def wait_for(run: Run, state: str) -> None:
    until = time.monotonic() + 60
    while run.status["state"] != state and time.monotonic() < until:
        time.sleep(0.05)
    assert run.status["state"] == state


@pytest.mark.nightly
def test_a_killed_sweep_leaves_no_job_behind_and_a_stopped_one_says_where_it_stands(place: Place) -> None:
    """Guards against orphans that train on, a SIGTERM that loses epochs, and a next start that begins anew."""
    process, run = begin(place)
    process.kill()
    process.communicate()
    wait_for(run, "interrupted")
    trained = rows(place.directory)

    process, run = begin(place)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate()
    assert process.returncode == 143, told
    assert "seed=0  interrupted: stopped by SIGTERM" in told
    assert "1 not begun:\n  seed=1" in told
    assert run.status["state"] == "interrupted"
    assert rows(place.directory) > trained
    assert "resuming after" in (run.directory / "tlx.log").read_text()


def test_ctrl_c_stops_jobs_that_run_at_once(place: Place) -> None:
    """Guards against threads that keep the sweep alive, and a wrong exit code."""
    process, run = begin(place, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate()
    assert process.returncode == 130, told
    assert run.status["state"] == "interrupted"
