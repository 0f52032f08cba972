"""Whole validation images are measured when a stage ends, with its best weights."""

from __future__ import annotations

import csv
import itertools
import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tlx
import tlx.procedures.stages
from tests.tasks.segmentation.test_runs import SMALL
from tlx.base.errors import Interrupted
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.whole_images import WholeImages
from tlx.data import ImageDataModule, labelled
from tlx.tasks.segmentation.confusion import confusion
from tlx.tasks.segmentation.scores import ClassPixels, class_mean, iou
from tlx.tasks.segmentation.task import Segmentation
from tlx.training.experiment import build

pytestmark = pytest.mark.run
STAGED = (
    *SMALL[:-2], "strategy=last_layers", "optimizer.lr=1e-2", "cache.views=1", "trainer.stage_epochs=2",
    "logger=tensorboard",
)  # fmt: skip
STAGES = ("head", "last_layers")


def rows(run: tlx.Run) -> list[dict[str, str]]:
    return list(csv.DictReader((run.directory / "metrics.csv").open(newline="")))


def points(run: tlx.Run) -> list[tuple[int, float]]:
    """Return the steps and values of the curve of the mean IoU of whole images."""
    events = EventAccumulator(str(run.directory), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars("val/whole_miou")]


def miou(task: Segmentation, config) -> float:
    """Return the mean IoU of whole validation images."""
    data = ImageDataModule(config.dataset, task.backbone.preprocessing, 0)
    counts = torch.zeros(3, 3, dtype=torch.long)
    for batch in data.in_order("val"):
        counts += confusion(task.class_maps(batch["image"]), batch["target"], 3)
    return float(class_mean(iou(ClassPixels.of(counts))))


def test_each_stage_is_measured_with_its_best_weights(tmp_path, monkeypatch):
    """Guards against figures of the last epoch, of the best weights of another stage, or of tiles."""
    after: list[dict[str, torch.Tensor]] = []  # weights by epoch
    measured: list[Segmentation] = []

    class Spy(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            after.append({name: value.clone() for name, value in pl_module.state_dict().items()})

    figures, epochs = Segmentation.figures, itertools.count(1)

    def falling(self, split):  # the first epoch of a stage is its best, and that of the first stage the run's
        found = figures(self, split)
        return {**found, "miou": torch.tensor(1 / next(epochs))} if split == "val" else found

    best, callbacks = WholeImages._best, tlx.procedures.stages.build_callbacks
    monkeypatch.setattr(Segmentation, "figures", falling)
    monkeypatch.setattr(WholeImages, "_best", lambda *a: measured.append(best(*a)) or measured[-1])
    monkeypatch.setattr(tlx.procedures.stages, "build_callbacks", lambda *a: [*callbacks(*a), Spy()])
    config = tlx.compose([*STAGED, f"run_dir={tmp_path / 'run'}", f"cache.dir={tmp_path / 'cache'}"])
    run = tlx.train(config)
    for task, epoch, stage in zip(measured, (0, 2), STAGES, strict=True):
        assert all(torch.equal(value, after[epoch][name]) for name, value in task.state_dict().items())
        assert run.metrics[f"val/whole_miou/{stage}"] == pytest.approx(miou(task, run.config), abs=1e-6)
    assert [row["stage"] for row in rows(run)] == [STAGES[0]] * 2 + [STAGES[1]] * 2
    steps = zip((6, 12), STAGES, strict=True)
    assert points(run) == [(step, pytest.approx(run.metrics[f"val/whole_miou/{stage}"])) for step, stage in steps]
    assert (run.directory / "tlx.log").read_text().count("2 whole validation images in") == 2


def test_a_run_that_is_stopped_while_it_measures_measures_again(finished, tmp_path, monkeypatch):
    """Guards against a stage that is never measured, or trained again, after Ctrl-C or a kill at its end."""
    config = tlx.compose([*STAGED, f"run_dir={tmp_path / 'run'}", f"cache.dir={tmp_path / 'cache'}"])
    step = Segmentation.test_step
    for stop, epochs in ((0, 2), (2, 4)):  # two images a stage: within the first stage, then within the last
        calls = itertools.count()

        def interrupted(self, batch, batch_idx, calls=calls, stop=stop):
            if next(calls) == stop:
                os.kill(os.getpid(), signal.SIGINT)
            return step(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(Segmentation, "test_step", interrupted)
            with pytest.raises(Interrupted):
                tlx.train(config)
        assert progress(tmp_path / "run" / "checkpoints" / "last.ckpt")["epochs"] == epochs
    run, undisturbed = tlx.train(config), finished(*STAGED)
    assert rows(run) == rows(undisturbed)
    figures = [{k: v for k, v in one.metrics.items() if k != "train/seconds"} for one in (run, undisturbed)]
    assert figures[0] == figures[1]
    assert {f"val/whole_miou/{stage}" for stage in STAGES} <= set(figures[0])
    assert points(run) == points(undisturbed)


def test_whole_images_that_are_tiles_are_not_measured_again(monkeypatch):
    """Guards against minutes for figures that the tiles of the last validation have given already."""
    config = tlx.compose([*SMALL])
    whole = build(config)[1].backbone.preprocessing
    assert ImageDataModule(config.dataset, whole, 0).whole_differs
    dataset = tlx.compose([*SMALL, "dataset.image_size=[160,192]"]).dataset
    assert not ImageDataModule(dataset, whole, 0).whole_differs
    monkeypatch.setattr(labelled, "VAL_TILES_AT_MOST", 1)  # two images
    assert ImageDataModule(dataset, whole, 0).whole_differs
