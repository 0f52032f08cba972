"""The rows in the log of a training."""

from __future__ import annotations

import logging

import pytest
import pytorch_lightning as pl

from tests.callbacks.test_stages import loader, make_task
from tlx.base.interruption import Interruption
from tlx.callbacks.checkpoints import Checkpoints
from tlx.callbacks.stages import Stages
from tlx.callbacks.training_rows import TrainingRows
from tlx.strategies.plan import plan_stages

PLAN = [
    {"name": "head", "train": "head", "epochs": 1},
    {"name": "all", "train": "all", "epochs": 9, "patience": 2, "lr_scale": 1e-6},
]


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "tlx")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "tlx"]


def fit(tmp_path, monitor, best=None, limited=False):
    task = make_task()
    stages = Stages(plan_stages({"stages": PLAN}, task.optimizer_node, task.group_names), monitor, "max", tmp_path)
    checkpoints = Checkpoints(tmp_path, stages, monitor, "max", Interruption())
    checkpoints.best = best
    trainer = pl.Trainer(
        max_epochs=stages.total_epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[TrainingRows(stages, checkpoints, True, limited), stages, checkpoints],
    )  # fmt: skip
    trainer.fit(task, loader(), loader())


def test_each_stage_has_a_heading_and_a_row_for_each_epoch(tmp_path, lines):
    """Guards against rows of another stage or epoch, a heading for each row, and a plateau whose rows are lost."""
    fit(tmp_path, "val/accuracy", best=0.9999)  # of an earlier start
    tables = [line.split() for line in lines() if line.startswith(("head ", "all ", "stage  "))]
    assert [row[0] for row in tables] == ["stage", "head", "stage", "all", "all", "all"]
    assert [row[1] for row in tables] == ["epoch", "1/1", "epoch", "1/9", "2/9", "3/9"]
    assert {row[5] for row in tables if row[0] != "stage"} == {"0.9999"}  # which no epoch has reached
    assert [row[7] == ">" for row in tables] == [False, True, False, False, False, False]  # the next trains more


def test_the_last_epoch_of_a_long_stage_has_a_row(tmp_path, lines, monkeypatch):
    """Guards against a table that ends before its stage, if the stage ends on a plateau."""
    monkeypatch.setattr("tlx.callbacks.training_rows.is_shown", lambda *_: False)
    fit(tmp_path, "val/accuracy", best=0.9999)
    rows = [line.split()[:2] for line in lines() if line.startswith(("head ", "all "))]
    assert rows == [["head", "1/1"], ["all", "1/9"], ["all", "3/9"]]


@pytest.mark.parametrize(("left", "limited", "told"), [(601.0, False, 1), (601.0, True, 0), (599.0, False, 0)])
def test_a_long_training_says_once_how_to_shorten_it(tmp_path, lines, monkeypatch, left, limited, told):
    """Guards against hours of training of a user who does not know what would take minutes."""
    monkeypatch.setattr("tlx.callbacks.training_rows.expected_left", lambda *_: left)
    fit(tmp_path, "val/accuracy", best=0.9999, limited=limited)
    found = [line for line in lines() if "trainer.max_minutes=10" in line]
    assert len(found) == told
    assert all("strategy=linear_probe" in line for line in found)
