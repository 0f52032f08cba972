"""Every launcher, really run: one job trains, one fails, one is killed, and the sweep is started again."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tlx
from tests.sweeps.conftest import TINY, Place
from tlx import Run
from tlx.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_commands")]


def slurm_answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    try:
        done = subprocess.run(["sinfo", "--noheader", "-t", "idle,mix"], capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


@pytest.mark.parametrize(
    "launcher",
    [
        "basic",
        "submitit_slurm",
        *(pytest.param(name, marks=pytest.mark.nightly) for name in ("joblib", "submitit_local", "ray")),
    ],
)
def test_a_sweep_survives_its_jobs_and_started_again_does_what_is_missing(launcher: str, place: Place) -> None:
    """Guards against a job that takes others with it, an error that nobody is told of, and jobs trained twice."""
    package = {"basic": "joblib"}.get(launcher, launcher.partition("_")[0])
    pytest.importorskip(package, reason=f"hydra/launcher={launcher} needs the package {package}")
    if launcher == "submitit_slurm" and not slurm_answers():
        pytest.skip("no SLURM answers here")
    at_once = {"basic": [], "submitit_slurm": ["hydra.launcher.cpus_per_task=1"]}.get(
        launcher, ["hydra.launcher.n_jobs=3"]
    )
    command = [f"hydra/launcher={launcher}", *at_once, "backbone.act=kill,train,fail"]
    told = place.sweep(*command, code=1)
    assert "[1/3] backbone.act=kill  killed by signal 9 (SIGKILL)" in told
    assert "[2/3] backbone.act=train  val/loss 0." in told
    assert "[3/3] backbone.act=fail  failed: ValueError: sabotage" in told
    assert "Traceback" not in told
    assert [r.state for r in place.records()] == ["killed", "finished", "failed"]
    first = place.records()[1]
    before = Run(first.run_dir).status["time"]
    (directory,) = place.sweeps
    with (directory / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["backbone.act"], r["state"]) for r in rows] == [
        ("kill", "killed"), ("train", "finished"), ("fail", "failed"),
    ]  # fmt: skip
    assert float(rows[1]["val/loss"]) == Run(first.run_dir).metrics["val/loss"]
    assert rows[2]["note"] == "ValueError: sabotage"
    assert "sabotage" in (Path(rows[2]["run_dir"]) / "job.log").read_text()

    (place.directory / "marks" / "spared").touch()
    told = place.sweep(*command, code=1)
    assert "[2/3] backbone.act=train  val/loss 0." in told
    assert told.count("finished already") == 1
    assert [r.state for r in place.records()] == ["finished", "finished", "failed"]
    assert Run(first.run_dir).status["time"] == before
    assert [place.trained(act) for act in ("kill", "train", "fail")] == [2, 1, 2]
    assert "backbone.act  val/loss" in told


@pytest.mark.nightly
def test_two_starts_of_one_sweep_at_once_share_its_runs(place: Place) -> None:
    """Guards against two processes that write the same run, or train it twice."""
    command = [sys.executable, "-m", "tlx", *place.arguments("backbone.act=train,other", "seed=0,1")]
    started = [
        subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for more in ([], ["hydra/launcher=joblib"])
    ]
    told = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    assert [place.trained(act) for act in ("train", "other")] == [2, 2]
    assert all(" ± " in text for text in told)
    assert [r.state for r in place.records()] == ["finished"] * 4


@pytest.mark.nightly
def test_two_processes_a_job_give_the_figures_of_the_single_run(place: Place) -> None:
    """Guards against DDP in a multirun whose processes train apart, or each start the sweep again."""
    ddp = ["trainer.devices=2", "trainer.accelerator=cpu", "dataset.batch_size=16"]
    common = ["backbone=small_cnn", "backbone.width=4", *TINY[1:], *ddp]
    out = place.directory / "outputs"
    with pytest.raises(SystemExit) as stop:
        main(["train", "-m", f"output_dir={out}", *common, "optimizer.lr=0.1", "hydra/launcher=joblib"])
    assert stop.value.code == 0
    assert [r.state for r in place.records()] == ["finished"]
    single = tlx.train(tlx.compose([f"output_dir={place.directory / 'single'}", *common, "optimizer.lr=0.1"]))
    ours = Run(out / single.directory.name).metrics
    assert {k: v for k, v in ours.items() if k != "train/seconds"} == {
        k: v for k, v in single.metrics.items() if k != "train/seconds"
    }
    assert json.loads((single.directory / "status.json").read_text())["state"] == "finished"


def test_torchrun_may_not_start_a_multirun(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against N processes that run the whole sweep N times."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert "expected one process for a multirun" in place.sweep("seed=0,1", code=2)
    assert not (place.directory / "outputs").exists()


def test_several_machines_a_job_are_refused(place: Place) -> None:
    """Guards against a job that waits for machines that nobody starts."""
    told = place.sweep("seed=0,1", "trainer.num_nodes=2", code=2)
    assert "trainer.num_nodes: expected 1 in a multirun" in told
    assert os.listdir(place.directory / "marks") == []
