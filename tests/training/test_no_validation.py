"""`dataset.val_fraction=0`: everything trains, and nothing is selected."""

from __future__ import annotations

import csv

import pytest
import torch

import tlx
from tlx.base.errors import ConfigError, TlxError
from tlx.config.compose import check_command_line
from tlx.data import load_checked

ALL = (
    "backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.image_size=16", "dataset.channels=1",
    "dataset.labels_per_class=6", "dataset.val_fraction=0",
)  # fmt: skip


def test_all_images_but_those_of_the_test_train():
    """Guards against an image of each class that validation keeps, and against another test split."""
    images = {
        part: load_checked(tlx.compose(["dataset=digits", f"dataset.val_fraction={part}"]).dataset).images
        for part in (0, 0.2)
    }
    assert len(images[0].val) == 0
    assert len(images[0].train) == len(images[0.2].train) + len(images[0.2].val)
    names = [[sample.name for sample in one.test.samples] for one in images.values()]
    assert names[0] == names[1]
    assert images[0].rule.startswith("no val; test (20 %)")


@pytest.mark.run
def test_the_last_weights_are_tested(tmp_path):
    """Guards against a run that ends at the first figure it lacks: in a table or a curve, or for a stage."""
    stages = (
        "strategy.stages=[{name: head, train: head, epochs: 1}, {name: all, train: all, epochs: 2, start_from: best}]"
    )
    run = tlx.train(tlx.compose([*ALL, stages, f"run_dir={tmp_path / 'run'}", f"cache.dir={tmp_path / 'cache'}"]))
    assert not [name for name in run.metrics if name.startswith("val/")]
    assert 0 <= run.metrics["test/accuracy"] <= 1
    best, last = (
        torch.load(run.checkpoints / name, weights_only=True)["state_dict"] for name in ("best.ckpt", "last.ckpt")
    )
    assert all(torch.equal(best[key], last[key]) for key in best)
    with (run.directory / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["head", "all", "all"]
    assert not [key for key in rows[0] if key.startswith("val/")]
    told = (run.directory / "tlx.log").read_text()
    assert "no validation images (dataset.val_fraction=0): the last weights are tested" in told
    assert run.test()["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])


@pytest.mark.run
def test_a_classifier_on_features_needs_no_validation(tmp_path):
    """Guards against a classifier that is fitted by a validation which does not happen."""
    run = tlx.train(tlx.compose([*ALL, "strategy=features", "logger=none", f"run_dir={tmp_path / 'run'}"]))
    assert run.metrics["test/accuracy"] > 0.2


@pytest.mark.parametrize("typed", ["trainer.patience=3", "strategy.stages.0.patience=2"])
def test_patience_is_refused_by_name(typed, tmp_path):
    """Guards against patience that waits for ever, or that fails after the first epoch."""
    key = typed.partition("=")[0]
    with pytest.raises(TlxError, match=rf"^{key}: expected null without validation images.*type {key}=null"):
        tlx.train(tlx.compose([*ALL, "strategy=full", typed, f"run_dir={tmp_path / 'run'}"]))


def test_what_selects_by_validation_is_refused():
    """Guards against a search without values, and against a target domain or tiles that nothing evaluates."""
    (found,) = check_command_line([*ALL, "hydra/sweeper=optuna", "optimizer.lr=1e-3,1e-2"], None, multirun=True)
    assert (found.path, found.got) == ("dataset.val_fraction", "0")
    for more in (["task=segmentation", "dataset=scenes"], ["target=plates", "strategy=coral"]):
        with pytest.raises(ConfigError, match=r"dataset\.val_fraction: expected a fraction above 0 with"):
            tlx.compose([*more, "dataset.val_fraction=0"])
