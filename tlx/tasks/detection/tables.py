"""The tables in the review of a detection: predictions, classes, sizes, false detections, missed objects, images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from tlx.measures.class_cells import class_cells
from tlx.measures.confusion import most_confused
from tlx.measures.intervals import resampling_note
from tlx.measures.sections import Cell, Table, TableGroup
from tlx.records.prediction_columns import F1, IMAGE, OF_IMAGE
from tlx.tasks.detection.mistakes import Mistake
from tlx.tasks.detection.summary import Summary

CONFUSED_AT_MOST = 10  # pairs of classes
_HEADINGS = {"ap": "AP", "ap_50": "AP50", "precision_50": "precision", "recall_50": "recall", "f1_50": "F1"}
_INTERVALS = ("ap", "ap_50")  # more in a row would hide the values; metrics.json has them all
_SIZES = (("small, below 32 x 32", 0.0, 32.0), ("medium", 32.0, 96.0), ("large, from 96 x 96", 96.0, math.inf))
_BOX = ("left", "top", "width", "height")
_EXPLAINED = "Precision, recall and F1 count detections from the threshold of their class, at an IoU of 0.5."


def predictions_table(summary: Summary, images: Sequence[str]) -> Table:
    """Return one row per test image: image, F1, objects, right and false detections, objects missed, and by class.

    Args:
        summary: The metrics of the split.
        images: Name of each image.
    """
    detected, objects, verdicts = summary.matches.detected, summary.matches.objects, summary.verdicts
    classes = len(summary.names)
    shown = verdicts.right | verdicts.wrong
    total, right, wrong, missed = (
        np.bincount(of[which], minlength=len(summary))
        for of, which in (
            (objects.image, ...),
            (detected.image, verdicts.right),
            (detected.image, verdicts.wrong),
            (objects.image, ~verdicts.found),
        )
    )
    true, called = (
        np.bincount(image * classes + label, minlength=len(summary) * classes).reshape(-1, classes)
        for image, label in ((objects.image, objects.label), (detected.image[shown], detected.label[shown]))
    )
    columns = [f"{which} {name}" for name in summary.names for which in ("true", "predicted")]
    rows: list[list[Cell]] = []
    for i, image in enumerate(images):
        pairs = zip(true[i].tolist(), called[i].tolist(), strict=True)
        counts = [int(each[i]) for each in (total, right, wrong, missed)]
        rows.append([image, float(summary.image_f1[i]), *counts, *(count for pair in pairs for count in pair)])
    return Table("test_predictions", [IMAGE, F1, *OF_IMAGE, *columns], rows)


def class_tables(summary: Summary, confusion: Tensor) -> TableGroup:
    """Return the metrics of each class and its number of objects, and the pairs of classes most often confused.

    Args:
        summary: The metrics of the split.
        confusion: Boxes by true and predicted class (L, L), L = K + 1, the last for the background.
    """
    intervals = summary.intervals.per_class
    rows: list[list[Cell]] = []
    for i, name in enumerate(summary.names):
        cells = class_cells(i, _HEADINGS, summary.per_class, intervals, _INTERVALS)
        rows.append([name, *cells, float(summary.thresholds[i]), int(summary.objects[i])])
    note = " ".join(filter(None, (_EXPLAINED, resampling_note(summary.intervals, len(summary), summary.grouped))))
    table = Table("per_class", ["class", *_HEADINGS.values(), "threshold", "objects"], rows, note=note)
    return TableGroup("per_class", "Classes", [table, _confused(confusion[:-1, :-1], summary.names), _sizes(summary)])


def _confused(confusion: Tensor, names: Sequence[str]) -> Table:
    rows: list[list[Cell]] = [
        [names[true], names[called], count] for true, called, count in most_confused(confusion, CONFUSED_AT_MOST)
    ]
    return Table("confused_most", ["true", "predicted", "objects"], rows, caption="Confused most:")


def _sizes(summary: Summary) -> Table:
    objects, detected, verdicts = summary.matches.objects, summary.matches.detected, summary.verdicts
    own, called = sides(objects.box), sides(detected.box)
    rows: list[list[Cell]] = []
    for name, least, most in _SIZES:
        which = (own >= least) & (own < most)
        false = int((verdicts.wrong & (called >= least) & (called < most)).sum())
        found = int(verdicts.found[which].sum())
        rows.append([name, int(which.sum()), found, found / which.sum() if which.any() else math.nan, false])
    caption = "By size, in pixels of the images (COCO's limits):"
    return Table("per_size", ["size", "objects", "found", "recall", "false detections"], rows, caption=caption)


def sides(boxes: np.ndarray) -> np.ndarray:
    """Return the side in pixels of a square as large as each box (n,); boxes are (n, 4)."""
    side: np.ndarray = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return side


def error_tables(
    errors: Sequence[Mistake], missed: Sequence[Mistake], names: Sequence[str], images: Sequence[str]
) -> list[TableGroup]:
    """Return the most confident false detections and the largest missed objects.

    Args:
        errors: The false detections.
        missed: The missed objects.
        names: Class names.
        images: Name of each image.
    """
    false = [[images[one.image], names[one.label], one.score, *_end(one, names)] for one in errors]
    lost = [[images[one.image], names[one.label], *_end(one, names)] for one in missed]
    columns = ["kind", "IoU", "overlaps", *_BOX]
    tables = (
        Table("false_detections", ["image", "class", "score", *columns], false),
        Table("missed_objects", ["image", "class", *columns], lost),
    )
    headings = ("The most confident false detections", "The largest missed objects")
    otherwise = ("No detection from the thresholds is false.", "No object is missed.")
    return [
        TableGroup(table.name, heading, [table], otherwise=text)
        for table, heading, text in zip(tables, headings, otherwise, strict=True)
    ]


def _end(one: Mistake, names: Sequence[str]) -> list[Cell]:
    left, top, right, bottom = one.box
    box = [round(value) for value in (left, top, right - left, bottom - top)]
    return [one.kind, one.iou, names[one.other] if one.other >= 0 else "", *box]


def worst_tables(predictions: Table, places: Sequence[int]) -> TableGroup:
    """Return the images with the lowest F1.

    Args:
        predictions: The table of all images.
        places: Places of the worst images in it.
    """
    table = Table("worst_images", predictions.columns[:6], [predictions.rows[i][:6] for i in places])
    return TableGroup(table.name, "The worst images", [table], otherwise="Every object is found, and nothing else.")
