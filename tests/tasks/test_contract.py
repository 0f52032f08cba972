"""A task of another kind passes through the whole way of an experiment: nothing else knows what its outputs mean."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import tlx
from tests.tasks.brightness import Brightness
from tlx.backbones import UpperSource, small_cnn
from tlx.base.allowed import VARIABLE
from tlx.config.check import check
from tlx.tasks import Classification
from tlx.tasks.classification.kind import ClassificationKind
from tlx.tasks.kind import TaskKind
from tlx.training.experiment import build

OWN = "_target_: tests.tasks.brightness.Brightness\nname: brightness\nmonitor: val/mae\nmode: min\n"
SMALL = [
    "dataset=digits", "backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.channels=1",
    "dataset.labels_per_class=10", "trainer=debug", "trainer.limit_batches=null", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setenv(VARIABLE, "tests")


@pytest.mark.run
def test_a_task_that_is_no_classification_is_trained_tested_reviewed_and_predicts(tmp_path, allowed):
    """Guards against class scores, one head and accuracy taken for granted outside the classification's folder."""
    stages = "strategy.stages=[{name: upper, train: neck+, epochs: 1}, {name: all, train: all, epochs: 1}]"
    (tmp_path / "conf" / "task").mkdir(parents=True)
    (tmp_path / "conf" / "task" / "brightness.yaml").write_text(OWN)
    asked = [*SMALL, "task=brightness", "strategy=full", stages, "logger=tensorboard", f"run_dir={tmp_path / 'run'}"]
    run = tlx.train(tlx.compose(asked, config_dir=tmp_path / "conf"))
    assert isinstance(run.model, Brightness)
    assert run.model.group_names == ["stem", "stage1", "stage2", "stage3", "neck", "head"]
    assert {"test/mae", "val/mae", "test/worst", "train/loss"} & set(run.metrics) >= {
        "test/mae",
        "val/mae",
        "test/worst",
    }
    again = run.test()
    assert (again["test/mae"], again["test/worst"]) == pytest.approx(
        (run.metrics["test/mae"], run.metrics["test/worst"])
    )
    assert "## Numbers" in (run.directory / "review" / "review.md").read_text()
    Image.new("L", (8, 8), 200).save(tmp_path / "grey.png")
    predicted = run.predict([tmp_path / "grey.png"])
    predicted.to_csv(tmp_path / "numbers.csv")
    assert (tmp_path / "numbers.csv").read_text().startswith(f"image,number\n{tmp_path / 'grey.png'},")
    assert torch.tensor(predicted.numbers).isfinite().all()
    starts = [*SMALL, "backbone=run", f"backbone.run={run.directory}"]
    _, classifier = build(
        tlx.compose([text for text in starts if text != "backbone=small_cnn" and "width" not in text])
    )
    assert isinstance(classifier, Classification)
    assert_equal(classifier.backbone, run.model.backbone)
    assert classifier.head_report == "head: not carried over; the run has another task, brightness"


def assert_equal(one, other):
    held = other.state_dict()
    assert all(torch.equal(value, held[name]) for name, value in one.state_dict().items())


def brightness_above(source: UpperSource) -> Brightness:
    backbone = small_cnn(width=4)
    backbone.upper_source = source
    return Brightness(backbone, [])


def test_groups_without_classes_are_taken_over_as_a_whole_from_the_same_task():
    """Guards against a decoder that starts at random in a run that goes on from one, and against half of it."""
    old = Brightness(small_cnn(width=4), [])
    state = {name: value for name, value in old.state_dict().items() if not name.startswith("backbone.")}
    task = brightness_above(UpperSource([], state, "brightness", old.kind.name))
    assert task.head_report == "neck: carried over; head: carried over"
    assert_equal(task.neck, old.neck)
    assert_equal(task.head, old.head)
    smaller = {**state, "head.bias": torch.zeros(2)}
    task = brightness_above(UpperSource([], smaller, "brightness", old.kind.name))
    assert task.head_report.endswith("head.bias: expected shape (1,), got shape (2,) in the run")
    assert not torch.equal(task.neck.weight, old.neck.weight)
    task = brightness_above(UpperSource(["a"], state, "classification", "another"))
    assert task.head_report == "neck, head: not carried over; the run has another task, classification"
    assert not torch.equal(task.head.weight, old.head.weight)


def test_rows_of_another_task_are_not_taken_even_where_they_fit():
    """Guards against a classifier that begins with rows that meant something else under the same names of classes."""
    state = {"head.1.weight": torch.zeros(2, 16), "head.1.bias": torch.zeros(2)}
    for kind, expected in ((None, ["a"]), (Classification.kind.name, ["a"]), ("another", [])):
        backbone = small_cnn(width=4)
        backbone.upper_source = UpperSource(["a", "b"], state, "tags", kind)
        task = Classification(backbone, ["c", "a"])
        assert task.carried_classes == expected
        assert bool(task.head[1].weight[1].any()) is not bool(expected)


def test_adaptations_that_compare_class_scores_ask_the_task_for_them(monkeypatch):
    """Guards against a softmax over outputs that are no class scores, found out in the middle of a training."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(
        tlx.compose(["dataset=digits", "target=plates", "strategy=mcc", "backbone=small_cnn", "dataset.channels=1"])
    )
    assert not [m for m in check(config) if m.path == "strategy"]
    monkeypatch.setattr(ClassificationKind, "gives_class_scores", False)
    (mistake,) = [m for m in check(config) if m.path == "strategy"]
    assert "a task that gives class scores, for strategy=mcc" in mistake.expected
    config["strategy"]["adapt"] = {"_target_": "tlx.adaptation.Coral", "weight": 1.0}
    assert not [m for m in check(config) if m.path == "strategy"]


def test_a_kind_says_everything_that_it_must():
    """Guards against a kind of task that lacks a part, which shows in the middle of a check."""
    with pytest.raises(TypeError, match="abstract"):
        TaskKind()
