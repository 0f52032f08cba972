"""How often stages of many short epochs are validated, and what else rests on it."""

from __future__ import annotations

import csv
import re

import pytest
import torch
from omegaconf import OmegaConf

import tlx
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.trial_place import TRIAL
from tlx.strategies.plan import plan_stages
from tlx.training.validation_rhythm import rarely_validated, validation_rhythm

NAMES = ["stem", "stage1", "stage2", "stage3", "stage4", "head"]


def rhythm(decides: bool = False, *typed: str) -> list[int]:
    config = tlx.compose(["dataset=digits", "strategy=last_layers", *typed])
    strategy, optimizer = (OmegaConf.to_container(node) for node in (config.strategy, config.optimizer))
    return validation_rhythm(config, plan_stages(strategy, optimizer, NAMES, steps=6), decides)


def test_validations_are_rare_where_they_decide_nothing(monkeypatch):
    """Guards against 84 validations of a stage of 504 steps; and against patience, a search or a selection of weights
    that gets no figure of most epochs."""
    strategy = OmegaConf.to_container(tlx.compose(["dataset=digits", "strategy=last_layers"]).strategy)
    stages = plan_stages(strategy, {"lr": 1.0}, NAMES, steps=6)
    assert [stage.epochs for stage in stages] == [17, 67]
    assert rhythm() == [1, 2]
    assert rarely_validated(stages, rhythm()) == [
        f"stage {stages[1].name}: validated every 2 epochs and at its end (trainer.validate_every=1: each)"
    ]
    for each in (rhythm(True), rhythm(False, "trainer.patience=3"), rhythm(False, "strategy.stages.0.patience=3")):
        assert each == [1, 1]
    assert rhythm(True, "trainer.validate_every=5") == [5, 5]
    monkeypatch.setenv(TRIAL, "{}")
    assert rhythm() == [1, 1]


@pytest.mark.run
def test_a_run_that_is_rarely_validated_is_the_same_run(uneven, finished):
    """Guards against figures of an earlier validation in rows, curves and metrics of epochs without one, against kept
    weights other than the last, and against an end of a stage without a validation."""
    typed = [*uneven, "trainer.stage_epochs=6"]
    each, rare = finished(*typed), finished(*typed, "trainer.validate_every=4")
    with (rare.directory / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["val/loss"]) for row in rows] == [True, False, False, True, False, True]
    assert all(row["train/loss"] for row in rows)
    assert {k: v for k, v in each.metrics.items() if k != "train/seconds"} == {
        k: v for k, v in rare.metrics.items() if k != "train/seconds"
    }
    one, other = (torch.load(r.checkpoints / "best.ckpt", weights_only=True)["state_dict"] for r in (each, rare))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert re.findall(r"\b\d/6\b", (rare.directory / "tlx.log").read_text(encoding="utf-8")) == ["1/6", "4/6", "6/6"]
    assert rare.plot() is not None


@pytest.mark.run
@pytest.mark.parametrize(("seconds", "epochs"), [pytest.param(1000, 1, marks=pytest.mark.nightly), (0, 5)])
def test_a_kill_between_validations_loses_little(uneven, tmp_path, monkeypatch, seconds, epochs):
    """Guards against a run that saves nothing for hours, and against one that resumes elsewhere than it saved."""
    typed = ["trainer.stage_epochs=8", "trainer.validate_every=4", f"trainer.checkpoint_seconds={seconds}"]
    config = tlx.compose([*uneven, *typed, f"run_dir={tmp_path / 'run'}"])
    with monkeypatch.context() as patched:
        patched.setattr("tlx.callbacks.epoch_table.EpochTable.on_train_epoch_start", killed_in_epoch(5), raising=False)
        with pytest.raises(Killed):
            tlx.train(config)
    assert progress(tmp_path / "run/checkpoints/last.ckpt")["epochs"] == epochs
    resumed = tlx.train(config)
    whole = tlx.train(tlx.compose([*uneven, "trainer.stage_epochs=8", f"run_dir={tmp_path / 'whole'}"]))
    one, other = (torch.load(r.checkpoints / "last.ckpt", weights_only=True)["state_dict"] for r in (resumed, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)
    with (resumed.directory / "metrics.csv").open(encoding="utf-8") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(8))


class Killed(BaseException):
    """What no part of a training catches."""


def killed_in_epoch(number: int):
    def kill(self, trainer, pl_module):
        if trainer.current_epoch == number:
            raise Killed

    return kill
