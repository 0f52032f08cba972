"""Images of patients from the table to the intervals: nobody in two splits, nobody counted for several."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import tlx
from tlx.data import ImageDataModule
from tlx.runs.run import Run

pytestmark = pytest.mark.run


def test_a_run_on_patients(tmp_path):
    """Guards against groups that the splits know and the intervals, or the test of the run directory, do not."""
    digits = load_digits()
    chosen = np.flatnonzero(digits.target < 2)[:240]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient"])
        for number, i in enumerate(chosen):
            Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(tmp_path / f"{number}.png")
            writer.writerow([f"{number}.png", f"digit {digits.target[i]}", f"patient {number // 6}"])
    config = [
        "dataset=table", f"dataset.path={tmp_path / 'table.csv'}", "dataset.group_column=patient", "dataset.channels=1",
        "dataset.image_size=16", "backbone=small_cnn", "backbone.width=4", "strategy=features",
        f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    run = tlx.train(tlx.compose(config))
    data = ImageDataModule(run.config.dataset, run.model.backbone.preprocessing, 0)
    patients = {part: set(data.sample_groups(part)) for part in ("train", "val", "test")}
    assert sum(map(len, patients.values())) == 40 == len(set().union(*patients.values()))
    review = (run.directory / "review" / "review.md").read_text()
    assert f"resamples of {len(patients['test'])} groups of {data.sizes['test']} test images" in review
    again = Run(run.directory).test()
    assert again["test/accuracy_low"] == pytest.approx(run.metrics["test/accuracy_low"])
