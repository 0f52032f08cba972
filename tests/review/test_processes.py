"""Two processes: the review is that of one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tlx
from tlx import Run
from tlx.config import compose

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_commands")]


@pytest.mark.nightly
def test_two_processes_with_sharded_weights_have_the_review_of_one(tmp_path):
    """Guards against movement of a shard, test images of one process alone, padding that counts, and lost order."""
    overrides = [
        "backbone=small_cnn", "backbone.width=8", "dataset.channels=1", "dataset.image_size=16", "strategy=last_layers",
        "trainer.stage_epochs=1", "optimizer=sgd", "optimizer.lr=0.01", "optimizer.momentum=0",
        "optimizer.nesterov=false", "dataset.labels_per_class=8",
        "dataset.num_workers=0", "trainer.log_every_n_steps=1",
    ]  # fmt: skip
    one = tlx.train(compose([*overrides, f"run_dir={tmp_path / 'one'}"]))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "tlx",
        "train",
    ]
    command += [*overrides, f"run_dir={tmp_path / 'two'}", "trainer.devices=2", "trainer.strategy=fsdp"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    two = Run(tmp_path / "two")

    events = [EventAccumulator(str(run.directory), size_guidance={"scalars": 0}).Reload() for run in (one, two)]
    tags = [tag for tag in events[0].Tags()["scalars"] if tag.startswith(("movement/", "lr/", "trainable"))]
    assert len([tag for tag in tags if tag.startswith("movement/")]) == 5
    for tag in tags:
        curves = [[(p.step, p.value) for p in e.Scalars(tag)] for e in events]
        assert [step for step, _ in curves[0]] == [step for step, _ in curves[1]], tag
        assert [v for _, v in curves[0]] == pytest.approx([v for _, v in curves[1]], rel=1e-2, abs=1e-6), tag
    assert events[0].Scalars("movement/head")[-1].value > 1e-3

    tables = [
        [line.split(",") for line in (run.directory / "test_predictions.csv").read_text().splitlines()[1:]]
        for run in (one, two)
    ]
    assert len(tables[0]) == 359  # odd: one process has an image that only fills up
    assert [row[:2] for row in tables[0]] == [row[:2] for row in tables[1]]
    for ours, theirs in zip(*tables, strict=True):
        assert [float(p) for p in ours[3:]] == pytest.approx([float(p) for p in theirs[3:]], abs=1e-3)
    points = [(run.directory / "projector" / "metadata.tsv").read_text().splitlines() for run in (one, two)]
    assert [line.split("\t")[:2] for line in points[0]] == [line.split("\t")[:2] for line in points[1]]
    assert one.metrics["test/ece"] == pytest.approx(two.metrics["test/ece"], abs=1e-2)
