"""`tlx audit`: wrong labels come first, with what to do about them."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import tlx
from tlx.choice.out_of_fold import out_of_fold
from tlx.cli import main

pytestmark = pytest.mark.run
SMALL = ["backbone=small_cnn", "backbone.width=8", "dataset.image_size=16", "dataset.num_workers=0"]
FLIPPED = ("0/3.png", "1/5.png", "2/7.png")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides for 90 digits in folders, three of them in a wrong one, all for training; and a test split."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tlx"])
    values, labels = load_digits(return_X_y=True)
    for part, start, count in (("train", 0, 30), ("test", 30, 6)):
        for one in range(3):
            for i, at in enumerate(np.flatnonzero(labels == one)[start : start + count]):
                wrong = part == "train" and f"{(one + 1) % 3}/{i}.png" in FLIPPED
                path = tmp_path / "set" / part / str((one + 1) % 3 if wrong else one) / f"{i}{'' if wrong else one}.png"
                if wrong:
                    path = path.with_name(f"{i}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((values[at].reshape(8, 8) * 15).astype(np.uint8)).save(path)
    return [*SMALL, "dataset=folder", f"dataset.root={tmp_path / 'set'}", "dataset.channels=1"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_wrong_labels_come_first_and_the_corrected_table_trains(pictures, tmp_path, capsys):
    """Guards against a ranking by another order, a suggestion that is the label, and a table that cannot be read."""
    main(["audit", *pictures])
    told = capsys.readouterr().out
    (folder,) = (tmp_path / "outputs" / "audit").iterdir()
    found = rows_of(folder / "audit.csv")
    assert len(found) == 90
    assert {row["image"].removeprefix("train/") for row in found[:4]} >= {*FLIPPED}
    right = {name: str((int(name[0]) - 1) % 3) for name in FLIPPED}
    assert all(
        row["suggested"] == right[name] for row in found if (name := row["image"].removeprefix("train/")) in right
    )
    assert {row["split"] for row in found} == {"train", "val"}
    assert "90 labels are likely wrong: " in told
    assert "<img" in (folder / "audit.html").read_text()
    labels = rows_of(folder / "labels.csv")
    assert len(labels) == 90 + 18
    assert [row["split"] for row in labels[-18:]] == ["test"] * 18
    command = told.splitlines()[-1].split()
    assert command[:4] == [
        "tlx",
        "train",
        "dataset=table",
        f"dataset.path={(folder / 'labels.csv').relative_to(tmp_path)}",
    ]
    main([*command[1:], "trainer.stage_epochs=1", "logger=none"])
    assert "table: 3 classes" in capsys.readouterr().out


def test_from_python_with_the_test_split_and_other_layer_groups(pictures):
    """Guards against a test split that is judged unasked, and layer groups that are named and not read."""
    config = tlx.compose([*pictures, "strategy=features", "strategy.groups=[stage2,stage3]"])
    found = tlx.audit(config, test=True)
    assert {row.split for row in found.table} == {"train", "val", "test"}
    assert found.groups == ("stage2", "stage3")
    assert "stage2 and stage3 of small_cnn" in str(found)
    assert repr(found).startswith("<Audit of folder: ")
    assert "<table>" in found._repr_html_()
    assert [row.score for row in found.table] == sorted(row.score for row in found.table)


def test_units_are_never_divided_and_a_class_that_no_model_has_seen_is_not_judged():
    """Guards against a wrong label that is confirmed by the copy of its image, and a rare class that is all wrong."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 30, 1])
    features = random.normal(size=(61, 5)) + 4 * np.eye(3, 5)[labels]
    labels[3] = 1
    twice = np.tile(np.arange(61), 2)
    probabilities, known = out_of_fold(np.tile(features, (2, 1)), np.tile(labels, 2), 3, twice)
    assert known.reshape(2, -1)[:, -1].tolist() == [False, False]
    assert known.sum() == 120
    assert (probabilities[[3, 64], 0] > 0.5).all()


def test_other_tasks_and_several_backbones_are_refused(capsys):
    """Guards against an audit of masks, and one of the first backbone alone."""
    for typed, told in (
        (["dataset=scenes"], "expected classification with tlx audit"),
        (["dataset=digits", "backbone=small_cnn,efficientnet_lite0"], "expected one backbone, got several"),
    ):
        with pytest.raises(SystemExit):
            main(["audit", *typed])
        assert told in capsys.readouterr().err
