"""The tables in the review of a segmentation: predictions, metrics of each class, confused classes, worst images."""

from __future__ import annotations

from collections.abc import Sequence

from tlx.measures.class_cells import class_cells
from tlx.measures.confusion import most_confused
from tlx.measures.intervals import resampling_note
from tlx.measures.sections import Cell, Table, TableGroup
from tlx.records.prediction_columns import IMAGE, IOU
from tlx.tasks.segmentation import scores
from tlx.tasks.segmentation.outputs import TestOutputs
from tlx.tasks.segmentation.scores import ClassPixels
from tlx.tasks.segmentation.summary import Summary

CONFUSED_AT_MOST = 10  # pairs of classes
_HEADINGS = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall", "boundary_iou": "boundary IoU"}
_INTERVALS = ("iou",)  # more in a row would hide the values; metrics.json has them all


def predictions_table(summary: Summary, images: Sequence[str]) -> Table:
    """Return one row per test image: image, mean IoU over its classes, true and predicted share of each class.

    Args:
        summary: The metrics of the split.
        images: Name of each image.
    """
    columns = [f"{which} share of {name}" for name in summary.names for which in ("true", "predicted")]
    true, called = (shares.tolist() for shares in summary.shares())
    rows: list[list[Cell]] = []
    for image, iou, *shares in zip(images, summary.image_ious.tolist(), true, called, strict=True):
        rows.append([image, iou, *(share for pair in zip(*shares, strict=True) for share in pair)])
    return Table("test_predictions", [IMAGE, IOU, *columns], rows)


def class_tables(summary: Summary) -> TableGroup:
    """Return the metrics of each class, its shares of the pixels and its images, and the pairs most often confused."""
    intervals, pixels = summary.intervals.per_class, summary.pixels
    true, called = (each.sum(dim=0) / pixels.actual.sum() for each in (pixels.actual, pixels.called))
    shown = (pixels.actual > 0).sum(dim=0)
    rows: list[list[Cell]] = []
    for i, name in enumerate(summary.names):
        cells = class_cells(i, _HEADINGS, summary.per_class, intervals, _INTERVALS)
        rows.append([name, *cells, float(true[i]), float(called[i]), int(shown[i])])
    note = resampling_note(summary.intervals, len(summary), summary.grouped)
    shares = ["share of pixels", "share predicted", "images"]
    table = Table("per_class", ["class", *_HEADINGS.values(), *shares], rows, note=note)
    return TableGroup("per_class", "Classes", [table, _confused(summary)])


def _confused(summary: Summary) -> Table:
    confusion, names = summary.confusion, summary.names
    rows: list[list[Cell]] = [
        [names[true], names[called], count, count / int(confusion[true].sum())]
        for true, called, count in most_confused(confusion, CONFUSED_AT_MOST)
    ]
    columns = ["true", "predicted", "pixels", "share of the true class"]
    return Table("confused_most", columns, rows, caption="Confused most:")


def worst_tables(summary: Summary, outputs: TestOutputs, images: Sequence[str]) -> TableGroup:
    """Return the images with the lowest mean IoU over their classes, and the class that is worst in each.

    Args:
        summary: The metrics of the split.
        outputs: The recorded outputs.
        images: Name of each image.
    """
    place = {index: i for i, index in enumerate(outputs.index.tolist())}
    rows: list[list[Cell]] = []
    for i in (place[index] for index in outputs.worst):
        pixels = ClassPixels.of(outputs.confusion[i])
        ious = scores.iou(pixels)
        lowest = int(ious.nan_to_num(2).argmin())
        name, low = summary.names[lowest], float(ious[lowest])
        rows.append([images[i], float(summary.image_ious[i]), float(scores.accuracy(pixels)), name, low])
    columns = ["image", "IoU", "pixel accuracy", "worst class", "its IoU"]
    table = Table("worst_images", columns, rows)
    return TableGroup(table.name, "The worst images", [table], otherwise="No pixel of a test image is wrong.")
