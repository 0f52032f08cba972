"""Which weights a run ends with, where few images validate."""

from __future__ import annotations

import csv

import pytest
from omegaconf import OmegaConf

import tlx
from tlx import Run
from tlx.callbacks.checkpoint_reading import read_weights
from tlx.strategies.plan import plan_stages
from tlx.tasks.catalog import kind_of
from tlx.training.kept_weights import keeps_last

NAMES = ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
# Weights that hardly move: all epochs have the same accuracy, and the first of them counts as the best.
TIES = ["task.monitor=val/accuracy", "task.mode=max", "optimizer.lr=1e-5", "trainer.stage_epochs=3"]


def losses(run: Run) -> list[float]:
    with (run.directory / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["val/loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("typed", "validated", "last"),
    [
        ([], 199, True),
        ([], 200, False),
        ([], 0, False),
        (["trainer.keep=best"], 10, False),
        (["trainer.keep=last"], 1000, True),
        (["trainer.patience=3"], 10, False),
        (["strategy.stages.0.patience=2"], 10, False),
        (["task=segmentation", "dataset=scenes"], 10, False),
        (["strategy=mcc", "target=plates", "target.characters=[0,1,2,3,4,5,6,7,8,9]"], 10, False),
    ],
)
def test_the_last_weights_are_kept_where_few_images_validate(typed, validated, last):
    """Guards against an epoch that a dozen images select, and against a rule that overrules the user."""
    config = tlx.compose(["dataset=digits", *typed])
    strategy, optimizer = (OmegaConf.to_container(node) for node in (config.strategy, config.optimizer))
    stages = plan_stages(strategy, optimizer, NAMES)
    assert keeps_last(config, stages, kind_of(config.task), validated) is last


def test_the_kept_weights_are_tested(uneven, finished):
    """Guards against a choice that is logged while other weights are kept: 13 validation images, three epochs."""
    last, best = finished(*uneven, *TIES), finished(*uneven, *TIES, "trainer.keep=best")
    assert losses(last) == losses(best)
    assert losses(last)[0] != pytest.approx(losses(last)[-1])
    assert last.metrics["val/loss"] == pytest.approx(losses(last)[-1])
    assert best.metrics["val/loss"] == pytest.approx(losses(best)[0])
    kept, newest = (read_weights(last.checkpoints / name) for name in ("best.ckpt", "last.ckpt"))
    assert all((kept[name] == newest[name]).all() for name in kept)
    assert "validation images are too few" in (last.directory / "tlx.log").read_text(encoding="utf-8")
    assert "validation images are too few" not in (best.directory / "tlx.log").read_text(encoding="utf-8")


def test_the_next_stage_starts_from_the_last_weights(uneven, finished):
    """Guards against stages with start_from=best that begin with weights of the first epoch."""
    common = [*uneven, *TIES, "strategy=last_layers", "strategy.stages.1.start_from=best"]
    last, best = finished(*common), finished(*common, "trainer.keep=best")
    assert losses(last)[:3] == losses(best)[:3]
    assert losses(last)[3] != losses(best)[3]
