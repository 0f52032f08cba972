"""The review of test splits that are at the edge: one image, none wrong, very many classes, names that bite."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tlx import Run
from tlx.config import compose
from tlx.config.hyperparameters import hyperparameters
from tlx.data import Sample, Split
from tlx.measures.confusion import class_figures
from tlx.review.report import report
from tlx.review.sinks.tensorboard import TensorBoardSink
from tlx.tasks.classification import pictures
from tlx.tasks.classification.outputs import TestOutputs
from tlx.tasks.classification.review import review_sections
from tlx.tasks.classification.summary import summarise
from tlx.tasks.classification.tables import class_tables, detection_tables, predictions_table, wrong_tables
from tlx.training.run_logger import RunLogger

FIGURES = {"train/steps": 7, "val/accuracy": 0.5, "test/accuracy": 0.25}


def evidence_of(target: list[int], predicted: list[int], classes: int) -> TestOutputs:
    count = len(target)
    logits = torch.randn(count, classes, generator=torch.Generator().manual_seed(0))
    logits[range(count), predicted] = 5 + torch.rand(count, generator=torch.Generator().manual_seed(1))
    probabilities = logits.softmax(dim=1)
    confidence = probabilities.max(dim=1).values
    wrong = sorted((i for i in range(count) if target[i] != predicted[i]), key=lambda i: -float(confidence[i]))[:20]
    images = torch.randint(0, 256, (count, 3, 12, 12), dtype=torch.uint8)
    return TestOutputs(
        torch.arange(count), torch.tensor(target), torch.tensor(predicted), confidence,
        probabilities[range(count), target], probabilities, torch.arange(count), torch.randn(count, 4), images,
        wrong, [images[i] for i in wrong],
    )  # fmt: skip


def review(directory, outputs, names, images=None):
    images = images or [f"images/{i}.png" for i in range(0 if outputs is None else len(outputs))]
    split = Split([Sample(i, 0, name) for i, name in enumerate(images)])
    data = SimpleNamespace(splits={"test": split}, class_names=names, sample_groups=lambda part: split.groups)
    run = Run(directory / "run")
    tensorboard = TensorBoardLogger(str(run.directory), name="", version="", default_hp_metric=False)
    logger = RunLogger(tensorboard, "logger")
    more = report(
        run, hyperparameters(compose(["backbone=small_cnn"])), review_sections(data, outputs), FIGURES, [logger]
    )
    return run, more, EventAccumulator(str(run.directory), size_guidance={"tensors": 0}).Reload()


def test_a_perfect_classifier_has_a_review_without_a_picture_of_mistakes(tmp_path):
    """Guards against an empty grid that breaks a run at its end, and an old picture that stays."""
    old = tmp_path / "run" / "review" / "wrong.png"
    old.parent.mkdir(parents=True)
    Run(tmp_path / "run").files.add("review/wrong.png")
    old.touch()
    run, more, events = review(tmp_path, evidence_of([0, 1, 1], [0, 1, 1], 2), ["a", "b"])
    assert 0 <= more["test/ece"] < 0.1
    pictures = {"confusion_matrix", "precision_recall", "reliability"}
    assert {p.stem for p in (run.directory / "review").glob("*.png")} == pictures
    assert set(events.Tags()["images"]) == {f"review/{name}" for name in pictures}
    told = events.Tensors("review/most_confidently_wrong/text_summary")[0].tensor_proto.string_val[0].decode()
    assert told == "No test image is wrong."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "predicted", "classes"), [([0], [1], 2), ([1], [1], 2), (list(range(120)), [3] * 120, 120)]
)
def test_one_image_and_very_many_classes(target, predicted, classes, tmp_path, caplog):
    """Guards against a review that needs several images or few classes."""
    run, more, events = review(
        tmp_path, evidence_of(target, predicted, classes), [f"class {i}" for i in range(classes)]
    )
    assert not [record for record in caplog.records if record.name == "tlx"]  # no part was given up
    wrong = target != predicted
    assert len(events.Tags()["images"]) == 3 + wrong
    assert (run.directory / "projector" / "metadata.tsv").read_text().count("\n") == len(target) + 1
    assert ("test/sensitivity/class 0" in more) == (classes == 2 and target == [0])
    if len(target) == 1:  # of one image there are neither ranks nor intervals
        assert not [name for name in more if "auroc" in name or "low" in name]
        assert more["test/specificity/class " + ("1" if target == [0] else "0")] == (target == predicted)
    else:  # so many classes have a table, and no names of their own
        assert set(more) == {"test/ece", "test/auroc"} | {
            f"test/{name}_{end}" for name in ("accuracy", "balanced_accuracy", "auroc") for end in ("low", "high")
        }
        told = events.Tensors("review/sensitivity_and_specificity/text_summary")[0].tensor_proto.string_val[0].decode()
        assert "| class 119 | 0.000 | 1.000 | – |" in told
        assert "(" not in told


def test_without_test_images_there_is_still_a_row(tmp_path):
    """Guards against a run without test split that fails at its end."""
    run, more, events = review(tmp_path, None, ["a", "b"])
    assert more == {}
    assert {"Best/val_accuracy", "Best/test_accuracy"} <= set(events.Tags()["scalars"])
    assert "_hparams_/session_start_info" in events.Tags()["tensors"]
    assert not (run.directory / "test_predictions.csv").exists()


def test_groups_of_test_images_are_drawn_whole(tmp_path):
    """Guards against groups that are read in the order of what was seen, where a part of the split was."""
    target, predicted = [0, 1] * 20, [0, 1] * 10 + [1, 0] * 10
    outputs = evidence_of(target, predicted, 2)
    groups = [f"patient {i // 20}" for i in range(40)]  # all images of one are right, all of the other wrong
    found = summarise(outputs, ["a", "b"], groups)
    assert found.intervals.units == 2
    assert (found.figures()["test/accuracy_low"], found.figures()["test/accuracy_high"]) == (0, 1)
    assert "resamples of 2 groups of 40 test images" in detection_tables(found).markdown()
    alone = summarise(outputs, ["a", "b"])
    assert 0.3 < alone.figures()["test/accuracy_low"] < alone.figures()["test/accuracy_high"] < 0.7
    part = TestOutputs(**{**outputs.__dict__, "index": torch.arange(40) + 2})
    assert summarise(part, ["a", "b"], ["x", "y", *groups]).figures() == found.figures()


def test_a_picture_that_cannot_be_drawn_is_a_warning(tmp_path, monkeypatch, caplog):
    """Guards against hours of training that are lost to a font."""
    monkeypatch.setattr(pictures, "confusion_picture", lambda *a: 1 / 0)
    run, more, events = review(tmp_path, evidence_of([0, 1], [0, 0], 2), ["a", "b"])
    assert "expected to write confusion_matrix.png, got ZeroDivisionError" in caplog.text
    assert "review/reliability" in events.Tags()["images"]
    assert "confusion_matrix" not in (run.directory / "review" / "review.md").read_text()
    assert "test/ece" in more


def test_names_that_mean_something_elsewhere_come_through(tmp_path):
    """Guards against commas, pipes, tabs, quotes and letters of all scripts that break a table or a picture."""
    names = ["a|b,c", '"q"\t$x$ 中文']
    images = ["dir, one/<b>1</b>.png", "_*emph*_\n[link](x).png"]
    outputs = evidence_of([0, 1], [1, 0], 2)
    run, _, _ = review(tmp_path, outputs, names, images)
    with (run.directory / "test_predictions.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["image"] for row in table] == images
    assert [row["true"] for row in table] == names
    assert float(table[0][names[1]]) == pytest.approx(float(outputs.confidence[0]), abs=1e-6)
    for line in (run.directory / "review" / "review.md").read_text().splitlines():
        if "emph" in line:
            assert r"\_\*emph\*\_ \[link\](x).png" in line
            assert line.replace(r"\|", "").count("|") == 6


def test_where_there_are_too_many_classes_the_table_has_the_true_ones_probability():
    """Guards against a table of a gigabyte."""
    outputs = evidence_of([0, 1], [0, 0], 3)
    small = TestOutputs(**{**outputs.__dict__, "probabilities": outputs.probabilities[:, :0]})
    lines = predictions_table(small, ["x.png", "y.png"], ["a", "b", "c"]).csv().splitlines()
    assert lines[0] == "image,true,predicted,confidence,probability of the true class"
    assert float(lines[2].split(",")[4]) == pytest.approx(float(outputs.probabilities[1, 1]), abs=1e-6)


def test_tables_of_text():
    """Guards against nan in the text, and pairs of classes that were never confused."""
    confusion = torch.tensor([[2, 0], [0, 0]])
    table = class_tables(class_figures(confusion), confusion, ["a", "b"]).markdown()
    assert "| a | 1.000 | 1.000 | 1.000 | 2 |" in table
    assert "| b | – | – | – | 0 |" in table
    assert "Confused" not in table
    assert (
        "| a | b | 1 |" in class_tables(class_figures(confusion), torch.tensor([[1, 1], [0, 0]]), ["a", "b"]).markdown()
    )
    assert (
        wrong_tables([("x.png", "a", "b", 0.9, 0.05)]).markdown().splitlines()[2]
        == "| x.png | a | b | 0.9000 | 0.0500 |"
    )


def test_a_place_that_cannot_be_written_to_costs_the_others_nothing(tmp_path, monkeypatch, caplog):
    """Guards against a run whose end, and whose files, depend on every logger."""
    monkeypatch.setattr(TensorBoardSink, "write_tables", lambda *a: 1 / 0)
    monkeypatch.setattr(TensorBoardSink, "write_embedding", lambda *a: 1 / 0)
    run, more, events = review(tmp_path, evidence_of([0, 1], [0, 0], 2), ["a", "b"])
    assert "expected to write per_class to TensorBoard, got ZeroDivisionError" in caplog.text
    assert "review/reliability" in events.Tags()["images"]
    assert "| a | 0.500 | 1.000 |" in (run.directory / "review" / "review.md").read_text()
    assert "test/ece" in more


def test_a_file_of_somebody_elses_is_kept_and_the_run_ends_well(tmp_path, caplog):
    """Guards against hours of training that are lost to a file of the same name, and against its loss."""
    own = tmp_path / "run" / "review" / "per_class.csv"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    _, more, events = review(tmp_path, evidence_of([0, 1], [0, 0], 2), ["a", "b"])
    assert "expected to write the review to review, got TlxError" in caplog.text
    assert own.read_text() == "mine"
    assert "review/reliability" in events.Tags()["images"]
    assert "test/ece" in more


def test_every_table_is_a_file_too(tmp_path):
    """Guards against figures that can be read by eye alone, and intervals that a spreadsheet takes for text."""
    run, more, _ = review(tmp_path, evidence_of([0, 1, 1], [0, 1, 0], 2), ["a", "b"])
    tables = {}
    for path in (run.directory / "review").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            tables[path.stem] = list(csv.DictReader(file))
    assert set(tables) == {
        "figures", "per_class", "confused_most", "sensitivity_and_specificity", "most_confidently_wrong",
    }  # fmt: skip
    assert float(tables["per_class"][0]["precision"]) == 0.5
    assert tables["confused_most"] == [{"true": "b", "predicted": "a", "images": "1"}]
    row = tables["sensitivity_and_specificity"][1]
    assert float(row["sensitivity"]) == pytest.approx(more["test/sensitivity/b"])
    assert float(row["sensitivity high"]) == pytest.approx(more["test/sensitivity_high/b"])
    assert float(tables["figures"][0]["value"]) == FIGURES["test/accuracy"]
    assert {f"review/{name}.csv" for name in tables} <= run.files.names
