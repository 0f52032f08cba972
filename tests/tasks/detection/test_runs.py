"""Detectors as commands train, plan and predict with them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import tlx
from tests.tasks.detection.scenes import MODELS
from tlx import cli
from tlx.base.errors import ConfigError
from tlx.config import options
from tlx.config.check import check
from tlx.tasks import Classification, Detection
from tlx.tasks.catalog import headline_in
from tlx.training.experiment import build
from tlx.training.plan_table import stage_table

SMALL = (
    "task=detection", "dataset=scenes", "dataset.classes=[1,X]", "dataset.count=10", "dataset.image_size=[80,96]",
    "dataset.repeats=1", "dataset.batch_size=4", "backbone=small_cnn", "backbone.width=4", "task.pyramid_channels=64",
    "task.head_convs=1", "trainer.stage_epochs=1", "logger=none",
)  # fmt: skip
PROBE = (*SMALL, "strategy=last_layers", "optimizer.lr=1e-2", "cache.views=1")
ADAPTING = ("coral", "dan", "dann", "cdan", "mcc", "self_training")


def _rows(run: tlx.Run) -> list[dict[str, str]]:
    return list(csv.DictReader((run.directory / "metrics.csv").open(newline="")))


def test_a_run_without_room_for_the_cache_has_the_same_figures(finished):
    """Guards against cached maps, or boxes of cached crops, that differ from those computed from the images."""
    cached, uncached = finished(*PROBE), finished(*PROBE, "cache.max_gb=1e-5")
    assert "labels (boxes)" in (cached.directory / "tlx.log").read_text()
    assert "trains from images" in (uncached.directory / "tlx.log").read_text()
    for one, other in zip(_rows(cached), _rows(uncached), strict=True):
        for name, value in one.items():
            same = value == other[name] if name == "stage" else float(value) == pytest.approx(float(other[name]), 1e-3)
            assert same, f"{name}: {value}, {other[name]}"


def test_a_run_keeps_its_thresholds_and_its_sizes(finished):
    """Guards against predictions with the first thresholds, and images that are resized as for another task."""
    run = finished(*PROBE)
    assert "training boxes by level of the pyramid" in (run.directory / "tlx.log").read_text()
    model = run.model
    assert isinstance(model, Detection)
    assert model.backbone.preprocessing.sides == (80, 96)
    assert model.most == 100
    assert headline_in(run.metrics) == "test/map"
    assert not torch.equal(model.score_thresholds, Detection(model.backbone, model.class_names).score_thresholds)


@pytest.mark.parametrize(
    "key", ["dataset.min_side=64", "dataset.max_side=64", "dataset.image_size=64", "dataset.image_size=null"]
)
def test_another_size_of_whole_images_is_refused(finished, key):
    """Guards against `tlx test RUN dataset.min_side=…` that measures the same size as before without a word."""
    with pytest.raises(ConfigError, match=f"{key.partition('=')[0]}: expected .* as in training"):
        finished(*PROBE).test([key])


@pytest.mark.parametrize("model", MODELS)
def test_the_plan_counts_what_is_built_and_says_what_it_costs(model):
    """Guards against a plan of other layers than those that train, and of a head that costs more than it says."""
    asked = [word for word in SMALL if not word.startswith(("task.", "dataset.image"))]
    config = tlx.compose([*asked, f"task.model={model}", "strategy=full"])
    text, (_, task) = stage_table(config), build(config)
    for group in task.group_names:
        line = next(line for line in text.splitlines() if line.startswith(f"{group} "))
        assert line.split()[1] == f"{sum(p.numel() for p in task.group_parameters(group)):,}"
    assert "GMAC for an input of 160 x 192: backbone 0.0" in text
    assert ", pyramid 0." in text
    assert ", head 0." in text


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("task.pyramid_channels=100", "task.pyramid_channels=96"),
        ("task.model=retinanet task.head_convs=2", "task.model=fcos"),
        ("dataset.augment=trivial", "dataset.augment=light"),
        ("dataset.sampling=balanced", "dataset.sampling=null"),
        ("dataset.labels_per_class=5", "dataset.fraction=0.1"),
        ("+task.decoder=unet", "task.model=fcos"),
        ("+task.tile_size=64", "dataset.image_size"),
        ("strategy=coral target=scenes", "strategy=adabn"),
        ("strategy=features classifier=svm", "strategy=linear_probe"),
        ("trainer.precision=bf16-true", "trainer.precision=bf16-mixed"),  # edges beyond 256 pixels would be rounded
    ],
)
def test_what_has_no_meaning_for_boxes_is_refused_with_what_to_type(key, typed):
    """Guards against a key that is silently ignored, and a refusal that says no way on."""
    with pytest.raises(ConfigError) as refused:
        tlx.compose(["task=detection", "dataset=scenes", *key.split()])
    assert typed in str(refused.value)


def test_a_detector_learns_from_boxes_only():
    """Guards against classes of images that are taken for boxes."""
    config = tlx.compose(["task=detection", "dataset=scenes"])
    plain = {**config, "dataset": tlx.compose(["dataset=digits"]).dataset}
    assert any("learns from boxes" in str(mistake) for mistake in check(plain))


@pytest.mark.run
def test_commands_know_boxes(finished, tmp_path, monkeypatch, capsys):
    """Guards against figures that `tlx test` does not find again, predictions that need another key, and a list of
    runs without the figures of a detector."""
    run = finished(*PROBE)
    again = run.test()
    assert {name for name in run.metrics if name.startswith("test/")} <= set(again)
    assert again == pytest.approx({name: run.metrics[name] for name in again}, abs=1e-5)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((70, 110, 3), 90, dtype=np.uint8)).save("photo.png")
    cli.main(["predict", str(run.directory), "photo.png", "-o", "out"])
    assert "1 prediction in out" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"coco.json", "boxes.csv", "counts.csv", "overlays"}
    cli.main(["predict", str(run.directory), "photo.png", "-o", "counts.csv"])
    assert (tmp_path / "counts.csv").read_text().startswith("image,boxes,1,X\n")
    cli.main(["list", "runs", str(run.directory.parent)])
    assert f"map {run.metrics['test/map']:.4f}" in capsys.readouterr().out


@pytest.mark.nightly
def test_the_review_has_the_thresholds_of_the_tested_weights(tmp_path):
    """Guards against thresholds of the last epoch beside figures of the best weights."""
    small = [word for word in SMALL if not word.startswith(("trainer.", "dataset.repeats"))]
    stages = "strategy.stages=[{name: one, train: all, epochs: 1}, {name: worse, train: all, epochs: 1, lr_scale: 30}]"
    rates = ["optimizer.lr=1e-2", "strategy=full", stages, "task.monitor=val/loss", "task.mode=min", "logger=csv"]
    run = tlx.train(tlx.compose([*small, *rates, "dataset.repeats=20", f"run_dir={tmp_path / 'run'}"]))
    best, last = (run.with_weights(name).score_thresholds.tolist() for name in ("best.ckpt", "last.ckpt"))
    with (run.directory / "review" / "per_class.csv").open(newline="") as file:
        shown = [float(row["threshold"]) for row in csv.DictReader(file)]
    assert shown == pytest.approx(best, abs=1e-3)
    assert last != pytest.approx(best, abs=1e-3)


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", [name for name in options("strategy") if name not in (*ADAPTING, "features")])
def test_every_shipped_strategy_trains(strategy, tmp_path):
    """Guards against a strategy whose selectors, rates or statistics do not fit a pyramid."""
    target = ["target=scenes", "target.draw_seed=1", "target.count=10", "target.classes=[1,X]"]
    more = target if strategy == "adabn" else []
    run = tlx.train(tlx.compose([*SMALL, f"strategy={strategy}", f"output_dir={tmp_path}", *more]))
    assert 0 <= run.metrics["test/map"] <= 1


@pytest.mark.nightly
def test_a_detector_starts_from_a_classifier_and_a_classifier_from_a_detector(finished, tmp_path):
    """Guards against layer groups that are lost on the way from one task to the other."""
    detector = finished(*PROBE)
    start = ["backbone=run", f"backbone.run={detector.directory}", f"output_dir={tmp_path}", "logger=none"]
    _, classifier = build(tlx.compose(["dataset=digits", *start]))
    assert isinstance(classifier, Classification)
    assert classifier.head_report.startswith("head: not carried over; the run has another task")
    held = detector.model.backbone.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in classifier.backbone.state_dict().items())
    again = [word for word in SMALL if not word.startswith("backbone")]
    _, task = build(tlx.compose([*again, *start, "dataset.classes=[X,7]"]))
    assert task.carried_classes == ["X"]
