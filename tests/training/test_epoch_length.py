"""How long stages are: their epochs, or as many as make their least number of steps."""

from __future__ import annotations

import re

import pytest

import tlx
from tlx.base.errors import ConfigError
from tlx.procedures import plan_table
from tlx.strategies.plan import plan_stages

DIGITS = ("backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.image_size=16", "dataset.channels=1")
FEW = (*DIGITS, "dataset.labels_per_class=6")  # 60 images: 8 steps


@pytest.mark.parametrize(
    ("stage", "steps", "cap", "expected"),
    [
        ({"epochs": 15, "min_steps": 500}, 8, None, 63),
        ({"epochs": 15, "min_steps": 500}, 34, None, 15),
        ({"epochs": 15, "min_steps": 500}, 33, None, 16),
        ({"epochs": 15, "min_steps": 500}, None, None, 15),
        ({"epochs": 15}, 1, None, 15),
        ({"epochs": 15, "min_steps": 500}, 8, 20, 20),
        ({"epochs": 15, "min_steps": 500}, 8, 3, 3),
    ],
)
def test_epochs(stage, steps, cap, expected):
    """Guards against a stage of few steps, against more epochs for large sets, and against a cap without effect."""
    strategy = {"stages": [{"name": "full", "train": "all", **stage}]}
    (planned,) = plan_stages(strategy, {"lr": 0.1}, ["stem", "head"], cap, steps=steps)
    assert planned.epochs == expected
    assert planned.named_epochs == min(15, cap or 15)


def test_a_plan_says_batches_epochs_and_steps_with_their_reasons():
    """Guards against a longer training that nobody understands, and against steps that training does not make."""
    text = plan_table(tlx.compose([*FEW, "strategy=full"]))
    assert "an epoch: 60 training images, 8 steps; 504 steps in all stages" in text
    assert "batches of 8 (fewer than 100 training images)" in text
    assert "stage full: 63 epochs instead of 15, for 500 steps (min_steps)" in text
    assert re.search(r"^epochs +63$", text, re.MULTILINE)
    assert "warning" not in text
    large = plan_table(tlx.compose([*DIGITS, "strategy=full"]))
    assert "instead of" not in large
    assert re.search(r"^epochs +15$", large, re.MULTILINE)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("strategy.stages.0.epochs=3", "strategy.stages.0.min_steps=500"),
        ("trainer.stage_epochs=3", "trainer.stage_epochs=null"),
    ],
)
def test_a_short_stage_is_a_warning(typed, hint):
    """Guards against 24 steps in silence, and against a hint that changes nothing."""
    config = [*FEW, "strategy=full", typed]
    text = plan_table(tlx.compose(config))
    assert "stage full: 24 steps in all may be too few" in text
    assert hint in text
    key = hint.partition("=")[0]
    again = plan_table(tlx.compose([*(one for one in config if not one.startswith(key)), hint]))
    assert "warning" not in again


def test_epochs_that_are_typed_count():
    """Guards against `epochs=3` that becomes 63 because the shipped strategy also names steps; in any order."""

    def epochs(*typed: str) -> list[tuple[int, int]]:
        stages = tlx.compose([*FEW, "strategy=gradual", *typed]).strategy.stages
        return [(stage.epochs, stage.min_steps) for stage in stages]

    assert epochs() == [(3, 100), (5, 170), (7, 230)]
    assert epochs("strategy.stages.1.epochs=9") == [(3, 100), (9, 0), (7, 230)]
    assert epochs("strategy.stages.1.min_steps=50", "strategy.stages.1.epochs=9") == [(3, 100), (9, 50), (7, 230)]
    names = [tlx.compose([*FEW, "strategy=full", *one]).run_name for one in ([], ["strategy.stages.0.epochs=3"])]
    assert "epochs3" in names[1]
    assert "min_steps" not in names[1]
    with pytest.raises(ConfigError, match=r"strategy.stages\[0\].min_steps"):
        tlx.compose([*FEW, "strategy=full", "strategy.stages.0.min_steps=-1"])


def test_shipped_strategies_are_as_long_as_before_for_a_thousand_images():
    """Guards against steps that lengthen the training of larger sets."""
    for name in ("linear_probe", "last_layers", "full", "gradual", "lp_ft", "top_down", "scratch"):
        assert "instead of" not in plan_table(tlx.compose([*DIGITS, f"strategy={name}"])), name


@pytest.mark.run
def test_training_is_as_long_as_planned_and_says_so(tmp_path):
    """Guards against a plan and a training that count differently."""
    stages = "strategy.stages=[{name: all, train: all, epochs: 1, min_steps: 20}]"
    run = tlx.train(tlx.compose([*FEW, "logger=none", "strategy=full", stages, f"run_dir={tmp_path / 'run'}"]))
    assert (run.metrics["train/epochs"], run.metrics["train/steps"]) == (3, 24)
    told = (run.directory / "tlx.log").read_text()
    assert "stage all: 3 epochs instead of 1, for 20 steps (min_steps)" in told
    assert "batches of 8 (fewer than 100 training images)" in told
