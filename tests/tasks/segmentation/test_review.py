"""The review of a segmentation: intervals, tables and pictures from recorded counts."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score

from tests.conftest import ROOT
from tests.tasks.segmentation.masks import pair
from tlx.data.ignored import IGNORED
from tlx.measures.drawing import pixels_of, write_png
from tlx.measures.intervals import bootstrap_sums
from tlx.measures.sections import Estimate, Sections
from tlx.tasks.recorded import Recorded
from tlx.tasks.segmentation import pictures
from tlx.tasks.segmentation.boundary import boundary_counts
from tlx.tasks.segmentation.confusion import confusion_by_image
from tlx.tasks.segmentation.error_map import CONFUSED, INVENTED, MISSED, error_map
from tlx.tasks.segmentation.outputs import TestOutputs, badness, rows_of
from tlx.tasks.segmentation.review import review_sections
from tlx.tasks.segmentation.summary import summarise

NAMES = ["background", "cytoplasm", "nucleus", "platelet"]
IMAGES = 12


@pytest.fixture(scope="module")
def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true masks of the images (N, H, W); in the fifth every pixel is right."""
    pairs = [pair(60, 80, seed=seed) for seed in range(IMAGES)]
    predicted, truth = (torch.stack(one) for one in zip(*pairs, strict=True))
    predicted[4] = truth[4].clamp(max=3)
    return predicted, truth


@pytest.fixture(scope="module")
def seen(masks) -> Recorded:
    predicted, truth = masks
    boundaries = torch.stack([boundary_counts(p, t, 4) for p, t in zip(predicted, truth, strict=True)])
    rows = rows_of(confusion_by_image(predicted, truth, 4), boundaries)
    bad = badness(rows)
    worst = [i for i in bad.argsort(descending=True).tolist() if not bad[i].isnan()]
    image = torch.stack([truth * 40, truth * 60, 255 - truth * 50], dim=1)  # (N, 3, H, W)
    shown = [torch.cat([image[i], truth[i, None], predicted[i, None].byte()]) for i in worst]
    none = torch.empty(0)
    return Recorded(torch.arange(IMAGES), rows, none, none, none, worst, shown)


def data(groups: list[str | None] | None = None) -> Any:
    """Return what the review asks of a data module."""
    samples = [SimpleNamespace(name=f"test/image {i}.png") for i in range(IMAGES)]
    split = SimpleNamespace(samples=samples)
    return SimpleNamespace(class_names=NAMES, splits={"test": split}, sample_groups=lambda _: groups)


@pytest.fixture(scope="module")
def sections(seen) -> Sections:
    return review_sections(data(), seen, ["test/miou"])


def test_the_page_has_the_columns_of_the_review(sections):
    """Guards against a table on the page that an older version wrote."""
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").splitlines()
    (heading,) = (line.strip() for line in page if line.startswith("    | class"))
    (table,) = (table for group in sections.tables for table in group.tables if table.name == "per_class")
    assert [cell.strip() for cell in heading.strip("|").split("|")] == list(table.columns)


def test_intervals_hold_the_figures_and_are_those_of_resampled_pixels(masks, seen, sections):
    """Guards against intervals of a mean over images, of other classes, and of the pixels instead of the images."""
    predicted, truth = masks
    random, found = np.random.default_rng(5), []
    places = np.where(truth == IGNORED, 16, truth * 4 + predicted)
    for _ in range(1000):
        drawn = places[random.integers(IMAGES, size=IMAGES)]
        matrix = np.bincount(drawn.ravel(), minlength=17)[:16].reshape(4, 4)
        found.append(matrix.diagonal() / (matrix.sum(axis=0) + matrix.sum(axis=1) - matrix.diagonal()))
    each = np.array(found)
    ends = np.quantile(each.mean(axis=1), [0.025, 0.975])
    figures = sections.figures
    low, high = figures["test/miou_low"], figures["test/miou_high"]
    width = high - low
    assert width > 0
    assert [low, high] == pytest.approx(ends.tolist(), abs=0.15 * width)
    of_class = [figures["test/iou_low/nucleus"], figures["test/iou_high/nucleus"]]
    assert of_class == pytest.approx(np.quantile(each[:, 2], [0.025, 0.975]).tolist(), abs=0.15 * width)
    assert of_class[0] < figures["test/iou/nucleus"] < of_class[1]
    for name in ("miou_foreground", "dice", "accuracy", "boundary_iou"):
        assert figures[f"test/{name}_low"] < figures[f"test/{name}_high"]


def test_where_images_have_groups_groups_are_drawn(seen):
    """Guards against images of one patient that count as images of several, and groups of other images."""
    outputs = TestOutputs.of(seen)
    narrow = summarise(outputs, NAMES, [None] * IMAGES)
    wide = summarise(outputs, NAMES, ["a"] * 6 + ["b"] * 6)
    assert (narrow.intervals.units, wide.intervals.units) == (IMAGES, 2)
    assert not narrow.grouped
    half = summarise(TestOutputs(torch.arange(6), seen.rows["confusion"][:6], seen.rows["boundary"][:6], [], []), NAMES)
    first = half.per_class["iou"][0]
    # One of four resamples holds the first group twice, one the second: these are both ends.
    assert any(end == pytest.approx(first) for end in wide.intervals.per_class["iou"][:, 0].tolist())
    note = review_sections(data(["a"] * 6 + ["b"] * 6), seen).tables[0].tables[0].note
    assert note.endswith(f"resamples of 2 groups of {IMAGES} test images.")


def test_sums_of_resamples_are_sums_of_drawn_images():
    """Guards against sums that lose an image, and intervals of a group's images instead of its sum."""
    values = np.random.default_rng(0).integers(100, size=(50, 2))
    found = bootstrap_sums(
        values, lambda sums: {"share": sums[:, 0] / sums.sum(axis=1), "of each": sums}, resamples=500
    )
    random = np.random.default_rng(1)
    drawn = [values[random.integers(50, size=50)].sum(axis=0) for _ in range(4000)]
    ends = np.quantile([one[0] / one.sum() for one in drawn], [0.025, 0.975])
    assert found.overall["share"].tolist() == pytest.approx(ends.tolist(), abs=0.02)
    assert (found.per_class["of each"][0] < values.sum(axis=0)).all()
    assert (found.per_class["of each"][1] > values.sum(axis=0)).all()
    assert bootstrap_sums(values, lambda sums: {"total": sums[:, 0]}, ["a"] * 50).overall == {}


def test_intervals_of_many_images_and_classes_take_seconds():
    """Guards against a matrix for each resample of 1,000 images and 150 classes."""
    import time

    values = np.random.default_rng(0).integers(1000, size=(1000, 750))
    start = time.perf_counter()
    bootstrap_sums(values, lambda sums: {"mean": sums.mean(axis=1)})
    assert time.perf_counter() - start < 10


def test_the_table_of_predictions_has_a_row_an_image(masks, seen, sections):
    """Guards against rows of other images, true and predicted shares exchanged, and ignored pixels in a share."""
    predicted, truth = masks
    rows = list(csv.DictReader(io.StringIO(sections.predictions.csv())))
    assert [row["image"] for row in rows] == [f"test/image {i}.png" for i in range(IMAGES)]
    for i in (0, 4):
        counted = truth[i] != IGNORED
        true, called = truth[i][counted], predicted[i][counted]
        assert float(rows[i]["IoU"]) == pytest.approx(jaccard_score(true, called, average="macro"), abs=1e-6)
        assert float(rows[i]["true share of nucleus"]) == pytest.approx(float((true == 2).float().mean()), abs=1e-6)
        share = float((called == 2).float().mean())
        assert float(rows[i]["predicted share of nucleus"]) == pytest.approx(share, abs=1e-6)


def test_the_table_of_classes_and_of_the_worst_images(masks, seen, sections):
    """Guards against classes in another order, intervals of a neighbour, and right images among the worst."""
    predicted, truth = masks
    counted = truth != IGNORED
    classes, confused = sections.tables[0].tables
    ious = jaccard_score(truth[counted], predicted[counted], average=None)
    for row, name, iou in zip(classes.rows, NAMES, ious, strict=True):
        assert row[0] == name
        assert isinstance(row[1], Estimate)
        assert row[1].value == pytest.approx(iou)
        assert row[1].interval.low < iou < row[1].interval.high
    i, j = NAMES.index(confused.rows[0][0]), NAMES.index(confused.rows[0][1])
    assert confused.rows[0][2] == int(((truth == i) & (predicted == j)).sum())
    worst = sections.tables[1].tables[0].rows
    assert len(worst) == IMAGES - 1
    assert "test/image 4.png" not in [row[0] for row in worst]
    assert [row[1] for row in worst] == sorted(row[1] for row in worst)
    assert all(row[4] <= row[1] for row in worst)


def test_errors_have_their_colours():
    """Guards against missed and invented pixels exchanged, and ignored pixels that are shown as errors."""
    image = np.full((1, 5, 3), 100, dtype=np.uint8)
    truth = np.array([[0, 1, 1, 0, IGNORED]], dtype=np.uint8)
    predicted = np.array([[0, 0, 2, 1, 1]], dtype=np.uint8)
    shown = error_map(image, truth, predicted, background=0)[0].tolist()
    assert shown[1:] == [list(MISSED), list(CONFUSED), list(INVENTED), [255] * 3]
    assert shown[0] == [160] * 3
    without = error_map(image, truth, predicted, background=None)[0].tolist()
    assert without[1:4] == [list(CONFUSED)] * 3


def test_every_picture_is_drawn_and_fits_a_screen(sections, tmp_path):
    """Guards against pictures that matplotlib refuses, and pictures too large for a browser."""
    assert [picture.name for picture in sections.pictures] == ["confusion_matrix", "areas", "worst"]
    for picture in sections.pictures:
        pixels = pixels_of(picture.draw())
        write_png(pixels, tmp_path / f"{picture.name}.png")
        assert pixels.shape[2] == 3
        assert 300 < min(pixels.shape[:2]) <= max(pixels.shape[:2]) < 3000
        assert Image.fromarray(pixels).getcolors(10) is None  # more than 10 colours


def test_the_worst_images_stand_beside_their_masks(seen, sections):
    """Guards against truth and prediction exchanged, and captions of a neighbour."""
    figure = sections.pictures[2].draw()
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 4 * pictures.WORST_AT_MOST
    titles = [axes.get_title() for axes in shown[4:8]]
    assert titles[0].startswith(f"test/image {seen.worst[1]}.png, IoU 0.")
    assert titles[1:] == ["truth", "prediction", "errors"]
    truth, predicted = (shown[4 + k].images[0].get_array() for k in (1, 2))
    colours = pictures.palette(NAMES)
    mask = seen.worst_images[1]
    counted = mask[3] != IGNORED
    assert np.array_equal(truth[counted], colours[mask[3][counted]])
    assert np.array_equal(predicted, colours[mask[4]])
    assert (truth[~counted] == 255).all()


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_and_sizes_are_shown(channels):
    """Guards against a mask that is taken for a channel, and rows of one height for images of all shapes."""
    images = [torch.randint(0, 3, (channels + 2, h, w), dtype=torch.uint8) for h, w in ((10, 100), (300, 20), (1, 1))]
    pixels = pixels_of(pictures.worst_picture(images, ["a", "$b_", "c"], ["x", "y", "z"], None))
    assert max(pixels.shape) < 2000


def test_many_classes_are_drawn():
    """Guards against pictures of 150 classes that take minutes or have a legend larger than themselves."""
    names = [f"class {i}" for i in range(150)]
    shares = torch.rand(3, 150)
    assert max(pixels_of(pictures.areas_picture(shares, shares, names)).shape) < 1200
    assert max(pixels_of(pictures.confusion_picture(torch.eye(150, dtype=torch.long), names)).shape) < 3000


def test_there_may_be_no_image_and_no_error(seen):
    """Guards against a run that fails at its end, with nothing to show."""
    assert review_sections(data(), None, ["test/miou"]) == Sections(compared=["test/miou"])
    rows = {"confusion": torch.eye(4, dtype=torch.long)[None] * 5, "boundary": torch.ones(1, 2, 4, dtype=torch.long)}
    none = torch.empty(0)
    right = review_sections(data(), Recorded(torch.tensor([3]), rows, none, none, none, [], []))
    assert [picture.name for picture in right.pictures] == ["confusion_matrix", "areas"]
    assert right.tables[1].markdown() == "No pixel of a test image is wrong."
    assert right.figures["test/iou/nucleus"] == 1
    assert "test/miou_low" not in right.figures
    rows = {name: torch.zeros_like(values) for name, values in rows.items()}  # every pixel is ignored
    nothing = review_sections(data(), Recorded(torch.tensor([3]), rows, none, none, none, [], []))
    assert nothing.figures == {}
    for picture in nothing.pictures:
        pixels_of(picture.draw())


def test_a_mean_over_classes_keeps_classes_that_a_resample_has_no_pixel_of():
    """Guards against intervals above their figure: ten classes in one image each, all wrong, are often not drawn."""
    confusion = torch.zeros(12, 12, 12, dtype=torch.int64)
    for image in range(12):
        confusion[image, 0, 0], confusion[image, 0, 1] = 50 + image, 10
        confusion[image, image, 0] += 5
    boundary = torch.ones(12, 2, 12, dtype=torch.int64)
    outputs = TestOutputs(torch.arange(12), confusion, boundary, [], [])
    low, high = summarise(outputs, [f"class {i}" for i in range(12)]).intervals.overall["miou"]
    counts = confusion.sum(dim=0)
    ious = counts.diagonal() / (counts.sum(dim=0) + counts.sum(dim=1) - counts.diagonal())
    assert low < float(ious.mean()) < high
