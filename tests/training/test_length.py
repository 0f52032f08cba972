"""`trainer.max_minutes`: a trial shortens the stages once; what still takes too long is stopped and tested."""

from __future__ import annotations

import csv
import re

import pytest

import tlx
from tests.training.test_validation_rhythm import Killed, killed_in_epoch
from tlx.records.files import read_config
from tlx.strategies.plan import plan_stages
from tlx.training import length
from tlx.training.minutes import Seconds
from tlx.training.plan_table import stage_table

HEAD_AND_ALL = "strategy.stages=[{name: head, train: head, epochs: 1}, {name: all, train: all, epochs: 8}]"
STOPPED = ("trainer.max_minutes=1", "trainer.length=1", "trainer.validate_every=3")


@pytest.fixture
def one_hour(monkeypatch):
    """Make every trial say that the whole training takes an hour."""
    monkeypatch.setattr("tlx.training.minutes.Trial.of", lambda *_, **__: Seconds(3000.0, 600.0))


def run_of(uneven, directory, *more):
    return tlx.compose([*uneven, HEAD_AND_ALL, "trainer.stage_epochs=null", f"run_dir={directory}", *more])


def rows(run):
    with (run.directory / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_fraction_of_each_stage_is_trained_at_least_one_epoch():
    """Guards against a stage without an epoch, and against a schedule that ends before its rates have fallen."""
    stages = [{"name": "a", "train": "head", "epochs": 3}, {"name": "b", "train": "all", "epochs": 2, "min_steps": 100}]
    planned = plan_stages({"stages": stages}, {"lr": 1.0}, ["stem", "head"], steps=10, length=0.25)
    assert [stage.epochs for stage in planned] == [1, 2]


def test_a_limit_alone_decides_the_length():
    """Guards against a default that several processes refuse, and against a limit that overrules what is typed."""
    lengths = [
        tlx.compose(["dataset=digits", *typed]).trainer.length
        for typed in ([], ["trainer.max_minutes=5"], ["trainer.max_minutes=5", "trainer.length=0.5"])
    ]
    assert lengths == [None, "auto", 0.5]


@pytest.mark.run
def test_a_run_is_shortened_once(uneven, tmp_path, one_hour, monkeypatch):
    """Guards against a resumed run that is shortened again, and against one that is taken for another run."""
    config = run_of(uneven, tmp_path / "run", "trainer.max_minutes=30")
    with monkeypatch.context() as patched:
        patched.setattr("tlx.callbacks.epoch_table.EpochTable.on_train_epoch_start", killed_in_epoch(2), raising=False)
        with pytest.raises(Killed):
            tlx.train(config)
    monkeypatch.setattr(length, "Trial", None)  # there is no second trial
    run = tlx.train(config)
    assert read_config(run.directory)["trainer"]["length"] == 0.5
    assert [row["stage"] for row in rows(run)] == ["head", *["all"] * 4]
    told = (run.directory / "tlx.log").read_text(encoding="utf-8")
    assert re.search(r"trainer.max_minutes=30: a trial of \d+ s says 60 min for all stages: each trains 0.5 of", told)
    elsewhere = tlx.train(run_of(uneven, tmp_path / "elsewhere", "trainer.length=0.5"))
    assert elsewhere.metrics["test/loss"] == run.metrics["test/loss"]


@pytest.mark.run
def test_a_trial_times_images_with_classes(uneven, tmp_path):
    """Guards against a trial that fails, or that shortens what fits."""
    run = tlx.train(run_of(uneven, tmp_path / "run", "trainer.max_minutes=60", "trainer.stage_epochs=1"))
    assert read_config(run.directory)["trainer"]["length"] == 1
    assert "for all stages: nothing is shortened" in (run.directory / "tlx.log").read_text(encoding="utf-8")


@pytest.mark.run
def test_a_run_that_takes_too_long_is_tested_as_it_is(uneven, tmp_path, monkeypatch):
    """Guards against a run that goes on for hours, and against an end without validation, loss or kept weights."""

    class Clock:
        def __get__(self, checkpoints, owner):
            return 100.0 if checkpoints.begun and checkpoints.stages.index == 1 else 1.0  # seconds

    monkeypatch.setattr("tlx.callbacks.checkpoints.Checkpoints.elapsed", Clock())
    run = tlx.train(run_of(uneven, tmp_path / "run", *STOPPED))
    assert [row["stage"] for row in rows(run)] == ["head", "all"]
    assert [int(row["step"]) for row in rows(run)] == [7, 8]
    assert all(row["train/loss"] and row["val/loss"] for row in rows(run))
    assert rows(run)[0]["train/loss"] != rows(run)[1]["train/loss"]
    assert run.metrics["val/loss"] == pytest.approx(float(rows(run)[1]["val/loss"]))
    told = (run.directory / "tlx.log").read_text(encoding="utf-8")
    assert "trainer.max_minutes=1: stopped after 1.67 minutes in epoch 1 of 8 of stage all" in told
    assert tlx.train(run_of(uneven, run.directory, *STOPPED)).finished


def test_the_plan_says_that_it_may_be_shortened():
    """Guards against a plan that promises all epochs, and against one that fails where nothing limits the run."""
    limited, typed = (
        stage_table(tlx.compose(["dataset=digits", "backbone=small_cnn", "strategy=full", *more]))
        for more in (["trainer.max_minutes=5"], ["trainer.length=0.5"])
    )
    assert "trainer.max_minutes=5: if a trial before the first step takes longer, stages have fewer epochs" in limited
    assert re.search(r"^epochs +15$", limited, re.MULTILINE)
    assert re.search(r"^epochs +7$", typed, re.MULTILINE)
