"""The tables in the review of a classifier: predictions, metrics of each class, wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from tlx.measures.class_cells import class_cells
from tlx.measures.confusion import ClassFigures, most_confused
from tlx.measures.intervals import resampling_note
from tlx.measures.sections import Cell, Table, TableGroup
from tlx.records.prediction_columns import CONFIDENCE, IMAGE, PREDICTED, TRUE, probability_columns
from tlx.tasks.classification.outputs import TestOutputs
from tlx.tasks.classification.summary import Summary

CONFUSED_AT_MOST = 10  # pairs of classes
_PROPORTIONS = ("sensitivity", "specificity", "ppv")
_HEADINGS = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "auroc": "AUROC"}


def predictions_table(outputs: TestOutputs, images: Sequence[str], names: Sequence[str]) -> Table:
    """Return one row per test image: image, true class, predicted class, its probability, that of every class.

    Without the probabilities of all classes, the table has only the one of the true class.

    Args:
        outputs: The recorded outputs.
        images: Name of each image of the outputs.
        names: Class names.
    """
    whole = outputs.probabilities.shape[1] > 0
    columns = probability_columns(names) if whole else ["probability of the true class"]
    probabilities = outputs.probabilities if whole else outputs.true_probability[:, None]
    values = (outputs.target, outputs.predicted, outputs.confidence, probabilities)
    rows = [
        [image, names[true], names[predicted], confidence, *row]
        for image, true, predicted, confidence, row in zip(images, *(one.tolist() for one in values), strict=True)
    ]
    return Table("test_predictions", [IMAGE, TRUE, PREDICTED, CONFIDENCE, *columns], rows)


def class_tables(figures: ClassFigures, confusion: Tensor, names: Sequence[str]) -> TableGroup:
    """Return precision, recall, F1 and number of images of each class, and the pairs of classes most often confused.

    Args:
        figures: Metrics of each class.
        confusion: Number of images by true class and predicted class (K, K).
        names: Class names.
    """
    columns = (figures.precision, figures.recall, figures.f1)
    rows: list[list[Cell]] = [
        [name, *(float(column[i]) for column in columns), int(figures.support[i])] for i, name in enumerate(names)
    ]
    table = Table("per_class", ["class", "precision", "recall", "F1", "images"], rows)
    pairs: list[list[Cell]]
    pairs = [[names[true], names[called], count] for true, called, count in most_confused(confusion, CONFUSED_AT_MOST)]
    confused = Table("confused_most", ["true", "predicted", "images"], pairs, caption="Confused most:")
    return TableGroup("per_class", "Classes", [table, confused])


def detection_tables(summary: Summary) -> TableGroup:
    """Return sensitivity, specificity, PPV and AUROC of each class with intervals, and a note about the resampling."""
    values, intervals = summary.of_each_class(), summary.intervals.per_class
    rows: list[list[Cell]] = []
    for i, name in enumerate(summary.names):
        cells = class_cells(i, _HEADINGS, values, intervals, intervals)
        rows.append([name, *cells, int(summary.per_class.support[i])])
    note = resampling_note(summary.intervals, summary.images, summary.grouped) if intervals else ""
    if note and any(np.isin(values[figure], (0, 1)).any() for figure in _PROPORTIONS):
        note += " Where all images are right or all wrong, the interval is that of Clopper and Pearson."
    name = "sensitivity_and_specificity"
    table = Table(name, ["class", *_HEADINGS.values(), "images"], rows, note=note)
    return TableGroup(name, "Each class against all others", [table])


def wrong_tables(rows: Sequence[tuple[str, str, str, float, float]]) -> TableGroup:
    """Return the most confidently wrong images.

    Args:
        rows: Image, true class, predicted class, probability of the predicted and of the true class.
    """
    columns = ["image", "true", "predicted", "probability of it", "of the true class"]
    name = "most_confidently_wrong"
    table = Table(name, columns, rows, digits=4)
    return TableGroup(name, "The most confidently wrong images", [table], otherwise="No test image is wrong.")
