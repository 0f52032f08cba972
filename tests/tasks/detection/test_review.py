"""The review of a detection: intervals, verdicts, tables and pictures from recorded boxes."""

from __future__ import annotations

import csv
import io
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.tasks.detection.boxes import drawn, padded
from tlx.measures.drawing import pixels_of
from tlx.measures.sections import Estimate, Sections
from tlx.tasks.detection import pictures
from tlx.tasks.detection.average_precision import precision_and_recall, ranked_classes
from tlx.tasks.detection.class_confusion import class_confusion
from tlx.tasks.detection.figures import SplitFigures
from tlx.tasks.detection.matching import match
from tlx.tasks.detection.mistakes import confident_errors, missed_objects
from tlx.tasks.detection.outputs import TestOutputs, badness, rows_of
from tlx.tasks.detection.review import review_sections
from tlx.tasks.detection.summary import Summary, summarise
from tlx.tasks.recorded import Recorded

NAMES = ["cell", "platelet", "worm"]
IMAGES = 24
THRESHOLDS = torch.tensor([0.5, 0.4, 0.6])


def recorded(found: Tensor, truth: Tensor, side: int = 300) -> Recorded:
    """Return what a test split of images `side` pixels high and wide leaves."""
    rows = rows_of(found, truth, torch.full((len(found), 2), side))
    bad = badness(rows, THRESHOLDS)
    worst = [i for i in bad.argsort(descending=True, stable=True).tolist() if not bad[i].isnan()][:20]
    none = torch.empty(0)
    shown = [torch.full((3, side, side), 90 + i, dtype=torch.uint8) for i in worst]
    return Recorded(torch.arange(len(found)), rows, none, none, none, worst, shown)


@pytest.fixture(scope="module")
def boxes() -> tuple[Tensor, Tensor]:
    """Detections and objects of the images; the last has none, in the one before all is right."""
    found, truth = drawn(IMAGES, 3, seed=3)
    found[-1, :, 4] = truth[-1, :, 4] = -1
    found[-2], truth[-2, :, 5] = -1, 0
    found[-2, : truth.shape[1]] = truth[-2]
    found[-2, : truth.shape[1], 5] = 0.9
    return found, truth


@pytest.fixture(scope="module")
def seen(boxes) -> Recorded:
    return recorded(*boxes)


def data(groups: list[str | None] | None = None, images: int = IMAGES) -> Any:
    """Return what the review asks of a data module."""
    samples = [SimpleNamespace(name=f"test/image {i}.png") for i in range(images)]
    pixels = torch.arange(300 * 300 * 3, dtype=torch.int32).view(1, 3, 300, 300).remainder(251).byte()
    return SimpleNamespace(
        class_names=NAMES,
        splits={"test": SimpleNamespace(samples=samples)},
        sample_groups=lambda _: groups,
        test_images=lambda index: pixels,
    )


@pytest.fixture(scope="module")
def sections(seen) -> Sections:
    return review_sections(data(), seen, THRESHOLDS, ["test/map"])


def summary_of(found: Tensor, truth: Tensor, names: list[str] = NAMES, threshold: float = 0.5) -> Summary:
    outputs = TestOutputs.of(recorded(found, truth))
    return summarise(outputs, names, np.full(len(names), threshold, dtype=np.float32))


def test_resamples_are_those_of_repeated_images(boxes):
    """Guards against ranks that a repeated image shifts, and objects of an image that are counted once."""
    found, truth = boxes
    random = np.random.default_rng(0)
    ranked = ranked_classes(match(found, truth), 3)
    for _ in range(3):
        chosen = random.integers(IMAGES, size=IMAGES)
        again = ranked_classes(match(found[chosen], truth[chosen]), 3)
        ones, counts = np.ones((1, IMAGES), dtype=int), np.bincount(chosen, minlength=IMAGES)[None]
        for one, other in zip(ranked, again, strict=True):
            for mine, expected in zip(
                precision_and_recall(one, counts), precision_and_recall(other, ones), strict=True
            ):
                assert mine == pytest.approx(expected, abs=1e-12)


def test_figures_and_their_intervals(boxes, seen, sections):
    """Guards against intervals of another metric than the logged one, and figures of other classes."""
    logged = SplitFigures(3, 100)
    logged.add("test", *boxes)
    figures = sections.figures
    for name, value in logged.take("test").items():
        if name in ("map", "map_50", "map_75", "recall"):
            assert f"test/{name}" not in figures  # the task logs it
            assert figures[f"test/{name}_low"] < float(value) < figures[f"test/{name}_high"]
    for name in ("ap", "ap_50", "f1_50"):
        for one in NAMES:
            assert (
                figures[f"test/{name}_low/{one}"] <= figures[f"test/{name}/{one}"] <= figures[f"test/{name}_high/{one}"]
            )
    mean = np.mean([figures[f"test/f1_50/{one}"] for one in NAMES])
    assert figures["test/f1_50"] == pytest.approx(mean)
    narrow = summarise(TestOutputs.of(seen), NAMES, THRESHOLDS.numpy())
    wide = summarise(TestOutputs.of(seen), NAMES, THRESHOLDS.numpy(), ["a"] * 12 + ["b"] * 12)
    assert (narrow.intervals.units, wide.intervals.units) == (IMAGES, 2)


def test_two_thousand_resamples_of_72_images_take_seconds():
    """Guards against matching or sorting in each resample: of 72 images with 20 classes and 100 detections each."""
    found, truth = drawn(72, 20, objects=20, extra=80)
    outputs = TestOutputs(torch.arange(72), found, truth, torch.full((72, 2), 300), [], [])
    start = time.perf_counter()
    summary = summarise(outputs, [str(i) for i in range(20)], np.full(20, 0.5, dtype=np.float32))
    assert time.perf_counter() - start < 10
    assert summary.intervals.per_class["ap"].shape == (2, 20)


def square(left: float, top: float, side: float, label: int, last: float) -> list[float]:
    return [left, top, left + side, top + side, label, last]


@pytest.fixture
def kinds() -> tuple[Tensor, Tensor]:
    """One image with an error of each kind, and one in which all is right."""
    truth = [
        [
            square(0, 0, 40, 0, 0),
            square(100, 0, 40, 0, 0),
            square(200, 0, 40, 1, 0),
            square(0, 100, 80, 1, 0),
            square(100, 100, 50, 0, 0),
            square(200, 200, 60, 1, 1),
            square(100, 200, 30, 1, 0),
        ],
        [square(10, 10, 30, 0, 0)],
    ]
    found = [
        [
            square(0, 0, 40, 0, 0.95),
            square(1, 1, 40, 0, 0.94),  # found twice
            square(100, 0, 40, 1, 0.93),  # another class
            square(215, 15, 40, 1, 0.92),  # inexact
            square(250, 100, 30, 0, 0.91),  # background
            square(205, 205, 50, 1, 0.9),  # in a crowd
            square(0, 100, 80, 1, 0.2),  # below the threshold
            square(101, 101, 50, 0, 0.85),
        ],
        [square(10, 10, 30, 0, 0.9)],
    ]
    return padded(found), padded(truth)


def test_mistakes_have_their_kinds(kinds):
    """Guards against errors that are called by another name, and detections of crowds that count as errors."""
    summary = summary_of(*kinds, NAMES[:2])
    errors = confident_errors(summary.matches, summary.verdicts, 10)
    assert [(one.kind, one.image) for one in errors] == [
        ("found twice", 0), ("another class", 0), ("inexact", 0), ("background", 0)
    ]  # fmt: skip
    assert [round(one.score, 2) for one in errors] == [0.94, 0.93, 0.92, 0.91]
    assert [one.other for one in errors] == [0, 0, 1, -1]
    missed = missed_objects(summary.matches, summary.verdicts, 10)
    assert [one.kind for one in missed] == ["score below the threshold", "another class", "inexact", "nothing found"]
    assert [one.box[:2] for one in missed] == [(0, 100), (100, 0), (200, 0), (100, 200)]
    assert confident_errors(summary.matches, summary.verdicts, 1) == errors[:1]


def test_confusion_has_the_background_last(kinds):
    """Guards against rows and columns exchanged, and an object that is counted as confused and as missed."""
    summary = summary_of(*kinds, NAMES[:2])
    matrix = class_confusion(TestOutputs.of(recorded(*kinds)), summary)
    assert matrix.tolist() == [[3, 1, 0], [0, 0, 3], [2, 1, 0]]


def test_badness_is_one_minus_f1(kinds, boxes):
    """Guards against a right image among the worst, and an empty one that counts as wrong."""
    bad = badness(rows_of(*kinds, torch.zeros(2, 2)), torch.tensor([0.5, 0.5]))
    right, wrong, objects = 2, 4, 6
    assert bad[0] == pytest.approx(1 - 2 * right / (right + wrong + objects))
    assert bad[1].isnan()
    found, truth = boxes
    assert badness(rows_of(found, truth, torch.zeros(IMAGES, 2)), THRESHOLDS)[-2:].isnan().all()


def test_the_table_of_predictions_has_a_row_an_image(kinds):
    """Guards against counts of another image, and true and predicted counts exchanged."""
    sections = review_sections(data(images=2), recorded(*kinds), torch.tensor([0.5, 0.5, 0.5]))
    first, second = csv.DictReader(io.StringIO(sections.predictions.csv()))
    assert first["image"] == "test/image 0.png"
    counts = [first[name] for name in ("objects", "right", "false", "missed")]
    assert counts == ["6", "2", "4", "4"]
    assert [first[name] for name in ("true cell", "predicted cell", "true platelet", "predicted platelet")] == list(
        "3432"
    )
    assert [second[name] for name in ("F1", "objects", "right", "false")] == ["1.000000", "1", "1", "0"]


def test_tables_of_classes_sizes_and_mistakes(seen, sections):
    """Guards against classes in another order, intervals of a neighbour, and sizes that lose objects."""
    classes, _, sizes = sections.tables[0].tables
    for row, name, threshold in zip(classes.rows, NAMES, THRESHOLDS.tolist(), strict=True):
        assert row[0] == name
        assert isinstance(row[1], Estimate)
        assert row[1].value == sections.figures[f"test/ap/{name}"]
        assert row[1].interval.low <= row[1].value <= row[1].interval.high
        assert row[6] == pytest.approx(threshold)
    truth = seen.rows["truth"]
    assert sum(row[1] for row in sizes.rows) == int(((truth[..., 4] >= 0) & (truth[..., 5] == 0)).sum())
    assert "2,000 resamples of 24 test images" in classes.note
    errors, missed, worst = (group.tables[0].rows for group in sections.tables[1:])
    assert [row[2] for row in errors] == sorted((row[2] for row in errors), reverse=True)
    areas = [row[-1] * row[-2] for row in missed]
    assert areas[0] > areas[-1]
    assert [row[1] for row in worst] == sorted(row[1] for row in worst)
    assert not {f"test/image {i}.png" for i in (IMAGES - 1, IMAGES - 2)} & {row[0] for row in worst}


def test_every_picture_is_drawn_and_fits_a_screen(sections):
    """Guards against pictures that cannot be drawn, and pictures too large for a browser."""
    names = ["confusion_matrix", "precision_recall", "sizes", "worst", "false_detections", "missed_objects"]
    assert [picture.name for picture in sections.pictures] == names
    for picture in sections.pictures:
        drawing = picture.draw()
        pixels = drawing if isinstance(drawing, np.ndarray) else pixels_of(drawing)
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        assert 300 < min(pixels.shape[:2]) <= max(pixels.shape[:2]) < 3200
        assert Image.fromarray(pixels).getcolors(10) is None  # more than 10 colours


def test_truth_stands_beside_the_prediction_at_its_place(kinds):
    """Guards against boxes that are not reduced with their picture, and verdicts of the other side."""
    outputs = TestOutputs.of(recorded(*kinds))
    small = TestOutputs(
        outputs.index,
        outputs.found,
        outputs.truth,
        outputs.size,
        [0],
        [torch.full((1, 150, 150), 90, dtype=torch.uint8)],
    )
    summary = summary_of(*kinds, NAMES[:2])
    pixels = pictures.worst_picture(small, summary, [0], ["first.png", "second.png"])
    panel = 560  # the picture of 150 pixels is enlarged by 3 and a half or so, never beyond
    scale = panel / 300
    truth, prediction = pixels[26:, 8:], pixels[26:, 8 + panel + 8 :]
    blue, orange = pictures.RIGHT, pictures.WRONG
    assert tuple(truth[int(20 * scale), 0]) == blue  # the left edge of the object at 0, 0
    assert tuple(truth[int(140 * scale), 0]) == orange  # of the missed one at 0, 100
    assert tuple(prediction[int(20 * scale), 0]) == blue
    assert tuple(prediction[int(115 * scale), int(250 * scale)]) == orange
    assert tuple(prediction[int(150 * scale), int(0 * scale)]) == (90, 90, 90)  # below the threshold: not drawn


def test_there_may_be_no_image_no_object_and_no_mistake(kinds):
    """Guards against a run that fails at its end, with nothing to show."""
    assert review_sections(data(), None, THRESHOLDS, ["test/map"]) == Sections(compared=["test/map"])
    found, truth = kinds
    right = review_sections(data(images=1), recorded(found[1:], truth[1:]), THRESHOLDS)
    assert right.tables[1].markdown() == "No detection from the thresholds is false."
    assert [picture.name for picture in right.pictures] == ["confusion_matrix", "precision_recall", "sizes"]
    assert right.figures["test/ap/cell"] == pytest.approx(1)
    assert "test/ap/worm" not in right.figures
    nothing = torch.zeros(1, 0, 6)
    empty = review_sections(data(images=1), recorded(nothing, nothing), THRESHOLDS)
    assert empty.figures == {}
    for picture in (*right.pictures, *empty.pictures):
        pixels_of(picture.draw())


def test_a_mean_over_classes_keeps_classes_that_a_resample_has_no_object_of():
    """Guards against intervals above their figure: classes with one object each, all missed, are often not drawn."""
    found, truth = drawn(IMAGES, 1, seed=3)
    classes = 1 + IMAGES // 2
    for image in range(1, classes):  # one object of an image is of a class of its own, which nothing finds
        truth[image, 0, 4] = image
    summary = summary_of(found, truth, [str(i) for i in range(classes)])
    low, high = summary.intervals.overall["map"]
    assert low < summary.overall["map"] < high
