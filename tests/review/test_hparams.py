"""The columns of the hparams tab."""

from __future__ import annotations

import pytest

from tlx.config import compose
from tlx.config.hyperparameters import hyperparameters
from tlx.review.sinks.base import best_figures
from tlx.tasks.classification.kind import ClassificationKind

SMALL = ["backbone=small_cnn", "dataset=digits"]


def test_the_row_is_flat_plain_and_tells_what_was_chosen():
    """Guards against values that TensorBoard refuses, and columns without which runs cannot be told apart."""
    row = hyperparameters(compose([*SMALL, "strategy=gradual", "optimizer=sgd", "dataset.classes=[1,2]", "seed=3"]))
    assert all(type(value) in (str, float, int, bool) for value in row.values())
    assert list(row) == sorted(row)
    told = {
        "backbone.name": "small_cnn", "dataset.name": "digits", "dataset.classes": "[1, 2]", "strategy.name": "gradual",
        "strategy.stages": "dense 3, conv 5, full 7", "optimizer.name": "SGD", "optimizer.lr": 1e-2, "seed": 3,
        "dataset.labels_per_class": "none", "optimizer.nesterov": True, "trainer.precision": "32-true",
    }  # fmt: skip
    assert {key: row[key] for key in told} == told


def test_what_changes_no_result_is_no_column():
    """Guards against columns of paths and devices, which differ between runs that are the same."""
    one, other = ["trainer.devices=1", "dataset.num_workers=0"], ["run_dir=elsewhere", "logger=none", "force=true"]
    assert hyperparameters(compose([*SMALL, *one])) == hyperparameters(compose([*SMALL, *other]))
    assert not any("_target_" in key for key in hyperparameters(compose(SMALL)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "swept",
    [
        "seed=1", "strategy=full", "optimizer.lr=0.5", "backbone.width=7", "dataset.labels_per_class=5",
        "optimizer.momentum=0.5", "trainer.stage_epochs=2", "task.label_smoothing=0.1", "dataset.subset_seed=9",
        "optimizer.group_lr={head: 0.1}", "trainer.gradient_clip_val=1.0", "dataset.augment=strong",
    ],
)  # fmt: skip
def test_a_swept_key_is_a_column_in_which_the_runs_differ(swept):
    """Guards against a sweep whose runs look the same in the tab, or columns that some of its runs lack."""
    base = [*SMALL, "optimizer=sgd", "strategy=linear_probe"]
    one, other = hyperparameters(compose(base)), hyperparameters(compose([*base, swept]))
    key = swept.partition("=")[0]
    differ = {name for name in other if one.get(name) != other[name]}
    assert (
        f"{key}.name" if key == "strategy" else key if "group_lr" not in key else "optimizer.group_lr.head"
    ) in differ
    assert len(differ) <= 2
    if key not in ("dataset.subset_seed", "optimizer.group_lr"):
        assert set(one) == set(other)


def test_the_tab_shows_five_figures_by_itself():
    """Guards against figures beyond the five columns that TensorBoard shows, or behind Lightning's `epoch`."""
    figures = dict.fromkeys(("val/accuracy", "val/loss", "val/f1", "test/accuracy", "test/loss", "test/ece"), 0.5)
    shown = best_figures(figures, ClassificationKind.compared)
    assert set(shown) == {f"best/{n}" for n in ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "test_ece")}
    columns = [name.replace("best/", "Best/") for name in shown]
    assert sorted([*columns, "_accuracy/val", "epoch", "lr/head"])[:5] == sorted(columns)
    assert best_figures({"val/loss": 1.0}, ClassificationKind.compared) == {"best/val_loss": 1.0}
