"""What `tlx plan` says of the images: size of the input, boxes by level, steps and minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tlx
from tests.data.mask_trees import tree
from tlx.tasks import Detection
from tlx.training.experiment import build
from tlx.training.minutes import Trial
from tlx.training.plan_table import stage_table
from tlx.training.planning import plan

SCENES = (
    "dataset=scenes", "dataset.classes=[1,X]", "dataset.count=10", "dataset.repeats=2", "dataset.batch_size=4",
    "backbone=small_cnn", "backbone.width=4", "trainer.stage_epochs=3", "cache.views=2",
)  # fmt: skip
BOXES = (*SCENES, "task=detection", "task.pyramid_channels=64", "task.head_convs=1")


@pytest.mark.parametrize("key", ["dataset.min_side=48", "dataset.max_side=300"])
def test_the_plan_of_a_detector_follows_its_images(key: str) -> None:
    """Guards against a plan of the backbone's own input, and of levels that training replaces."""
    config = tlx.compose([*BOXES, "dataset.image_size=null", key, "strategy=gradual"])
    text, (data, task) = stage_table(config), build(config)
    assert isinstance(task, Detection)
    height, width = data.preprocessing.height_width
    assert f"GMAC for an input of {height} x {width}" in text
    assert task.box_levels.describe(data.box_sides) in text
    assert task.box_levels.strides[0] == (4 if "min_side" in key else 8)
    for group in task.upper_groups:
        assert re.search(rf"^{group} +{sum(p.numel() for p in task.group_parameters(group)):,} ", text, re.MULTILINE)
    steps = len(data.train_dataloader())
    assert f"20 in all, {steps} steps; {9 * steps} steps in all stages" in text


def test_images_that_cannot_be_used_leave_the_plan(tmp_path: Path) -> None:
    """Guards against a plan that fails, or says nothing, where training would stop at a broken file."""
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    (tmp_path / "1.jpg").write_bytes(b"no image")
    (tmp_path / "1.xml").write_text(f"<annotation><object><name>cell</name>{box}</object></annotation>")
    text = stage_table(tlx.compose([*BOXES[5:], "dataset=voc", f"dataset.root={tmp_path}"]), timed=True)
    assert "pyramid" in text
    assert re.search(r"size of the input and minutes: not known: .*1 broken file", text)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_the_plan_estimates_minutes(task: str) -> None:
    """Guards against a trial that fails on masks or boxes, or that counts in other units than it says."""
    keys = BOXES if task == "detection" else (*SCENES, "task=segmentation")
    text = stage_table(tlx.compose([*keys, "dataset.image_size=64", "strategy=last_layers"]), timed=True)
    assert re.search(
        r"^estimate: about \d+ s on this machine \([CG]PU\): training \d+ s, validation", text, re.MULTILINE
    )


def test_classes_that_only_the_masks_tell_are_in_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a head without parameters, as of an unknown set, in a plan that has read all masks."""
    monkeypatch.setattr("tlx.training.minutes.minutes_line", lambda *_: "")
    tree(tmp_path, "images/{}.png", "masks/{}.png", count=5)
    keys = ("backbone=small_cnn", "task=segmentation", "dataset=masks", f"dataset.root={tmp_path}")
    text = stage_table(tlx.compose([*keys, "dataset.image_size=32"]), timed=True)
    assert "head 2 classes a pixel" in text
    assert not re.search(r"^head +0 ", text, re.MULTILINE)


def test_a_plan_with_a_target_domain_estimates_nothing() -> None:
    """Guards against a plan that fails on pairs of batches, or leaves out the half of each step."""
    target = ["strategy=adabn", "target=scenes", "target.classes=[1,X]", "target.count=5", "dataset.image_size=64"]
    text = stage_table(tlx.compose([*BOXES, *target]), timed=True)
    assert "steps in all stages" in text
    assert "estimate" not in text


@pytest.mark.parametrize(
    ("strategy", "cache", "training", "validation"),
    [
        # 3 epochs of 20 crops, 10 s each, 1 to read it; 2 to evaluate each of 2 tiles an epoch, and of 2 test images
        ("full", "default", 3 * 20 * (10 + 1), 3 * 2 * (2 + 1) + 2 * (2 + 1)),
        # the same steps without reading; frozen groups of 0.5 s, for one view of 20 crops and 2 tiles
        ("linear_probe", "default", 3 * 20 * 10 + (20 + 2) * 1.5, 3 * 2 * (2 - 0.5) + 2 * (2 + 1)),
        ("linear_probe", "off", 3 * 20 * (10 + 1), 3 * 2 * (2 + 1) + 2 * (2 + 1)),
    ],
)
def test_the_estimate_adds_up(
    monkeypatch: pytest.MonkeyPatch, strategy: str, cache: str, training: float, validation: float
) -> None:
    """Guards against steps, views, tiles or test images that are counted twice or not at all."""
    config = tlx.compose([*BOXES, "dataset.image_size=64", f"strategy={strategy}", f"cache={cache}"])
    monkeypatch.setattr("tlx.training.minutes.seconds_an_image", lambda dataset: 1.0)
    data, task = build(config)
    trial = Trial(config, data, data.train_dataloader())
    trial.read = 1.0

    def seconds(self: Trial, work: object) -> float:
        name = getattr(work, "func", work).__qualname__
        return 10.0 if "_step" in name else 2.0 if "_evaluate" in name else 0.5

    monkeypatch.setattr(Trial, "_timed", seconds)
    found = trial.of(plan(config, task.group_names))
    assert (found.training, found.validation) == pytest.approx((training, validation))
