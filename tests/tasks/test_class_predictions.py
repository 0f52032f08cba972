"""Predicted classes: the table, the summary, the contact sheet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tlx.base.printable import columns_of
from tlx.tasks.classification.predictions import Predictions


def predictions(folder: Path, **more: object) -> Predictions:
    paths = [folder / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((20, 20), 50 * i, np.uint8)).save(path)
    probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    return Predictions(paths, ["cat", "unknown"], probabilities, **more)  # type: ignore[arg-type]


def test_the_table_says_which_images_are_unlike_all_known_ones(tmp_path: Path) -> None:
    """Guards against a confident class for a picture of something else, without a word; and a class of that name."""
    found = predictions(tmp_path)
    found.to_csv(tmp_path / "without.csv")
    found.with_distances(torch.tensor([0.1, 0.2, 0.7]), 0.5).to_csv(tmp_path / "with.csv")
    rows = {}
    for name in ("without", "with"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            rows[name] = list(csv.DictReader(file))
    assert [row["unknown"] for row in rows["with"]] == ["no", "no", "yes"]
    assert rows["with"][2]["distance"] == "0.700000"
    assert list(rows["without"][0]) == ["image", "predicted", "confidence", "cat", "probability of unknown"]
    for row in rows["with"]:
        del row["distance"], row["unknown"]
    assert rows["with"] == rows["without"]


def test_the_summary_counts_classes_and_names_images_to_look_at(tmp_path: Path) -> None:
    """Guards against counts of other classes, and against the most certain images in place of the least."""
    found = predictions(tmp_path)
    assert found.summary() == [
        "predicted  images", "unknown         2", "cat             1",
        "least certain: 1.png (unknown 0.60), 2.png (unknown 0.80), 0.png (cat 0.90)",
    ]  # fmt: skip
    far = found.with_distances(torch.tensor([0.6, 0.2, 0.7]), 0.5).summary()
    assert far[-1] == "unlike anything seen in training: 2 of 3: 2.png, 0.png"
    assert found.with_distances(torch.zeros(3), 0.5).summary() == found.summary()


def test_the_summary_of_a_thousand_classes_is_short(tmp_path: Path) -> None:
    """Guards against a screen of classes, and names of any length and script that break lines."""
    names = [f"{i} 三毛猫 {'x' * 100}\n" for i in range(1000)]
    lines = Predictions([Path("a.png")] * 1000, names, torch.eye(1000)).summary()
    assert len(lines) == 23
    assert lines[-2] == "and 980 more classes with 980"
    assert all(columns_of(line) <= 80 for line in lines[:-1])


def test_the_contact_sheet_begins_with_the_least_certain_and_replaces_nothing_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards against a sheet of the first images, and against a picture of somebody's that is written over."""
    found, place = predictions(tmp_path), tmp_path / "new" / "predictions.csv"
    assert found.to_look_at() == [1, 2, 0]
    sheet = found.sheet(2, found.to_look_at())
    assert (sheet == 50).any()
    assert not (sheet[40:] == 0).all(axis=2).any()  # the certain one, which is black
    for _ in range(2):  # what it wrote itself it may write again
        found.save(place)
        assert Image.open(place.with_suffix(".png")).width > 600
    Image.new("L", (3, 3)).save(place.with_suffix(".png"))
    found.save(place)
    assert Image.open(place.with_suffix(".png")).size == (3, 3)
    assert "tlx did not write" in caplog.text
    found.paths[0].unlink()
    found.save(tmp_path / "again.csv")  # the table is there, although an image is gone
    assert (tmp_path / "again.csv").is_file()
    assert "no contact sheet" in caplog.text
