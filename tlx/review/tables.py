"""The tables of a review: predictions as CSV, figures and mistakes as Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from tlx.base.printable import printable
from tlx.measures.confusion import ClassFigures, most_confused
from tlx.measures.intervals import LEVEL, RESAMPLES
from tlx.measures.names import interval_of, is_end, is_of_a_class
from tlx.records.prediction_columns import CONFIDENCE, IMAGE, PREDICTED, TRUE, probability_columns
from tlx.review.recorder import TestOutputs
from tlx.review.summary import Summary

CONFUSED_AT_MOST = 10  # pairs of classes


def predictions_csv(outputs: TestOutputs, images: Sequence[str], names: Sequence[str]) -> str:
    """Return one row a test image: image, true class, predicted class, its probability, that of every class.

    Args:
        outputs: What was seen.
        images: Name of each image of the outputs.
        names: Class names. Where the outputs holds not all probabilities, there is one more column, that of the true
            class.
    """
    whole = outputs.probabilities.shape[1] > 0
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = probability_columns(names) if whole else ["probability of the true class"]
    writer.writerow([IMAGE, TRUE, PREDICTED, CONFIDENCE, *columns])
    probabilities = outputs.probabilities if whole else outputs.true_probability[:, None]
    for image, true, called, confidence, row in zip(
        images,
        outputs.target.tolist(),
        outputs.predicted.tolist(),
        outputs.confidence.tolist(),
        probabilities.tolist(),
        strict=True,
    ):
        writer.writerow([image, names[true], names[called], f"{confidence:.6f}", *(f"{p:.6f}" for p in row)])
    return text.getvalue()


def class_table(figures: ClassFigures, confusion: Tensor, names: Sequence[str]) -> str:
    """Return precision, recall, F1 and number of images of each class, and which classes are confused most."""
    columns = (figures.precision, figures.recall, figures.f1)
    rows = [
        [_cell(name), *(_fraction(float(column[i])) for column in columns), f"{int(figures.support[i]):,}"]
        for i, name in enumerate(names)
    ]
    table = _table(["class", "precision", "recall", "F1", "images"], rows)
    pairs = most_confused(confusion, CONFUSED_AT_MOST)
    if not pairs:
        return table
    confused = [[_cell(names[true]), _cell(names[called]), f"{count:,}"] for true, called, count in pairs]
    return f"{table}\n\nConfused most:\n\n{_table(['true', 'predicted', 'images'], confused)}"


def wrong_table(rows: Sequence[tuple[str, str, str, float, float]]) -> str:
    """Return the most confidently wrong images.

    Args:
        rows: Image, true class, predicted class, probability of the predicted and of the true class.
    """
    if not rows:
        return "No test image is wrong."
    cells = [[_cell(name), _cell(true), _cell(called), f"{p:.4f}", f"{q:.4f}"] for name, true, called, p, q in rows]
    return _table(["image", "true", "predicted", "probability of it", "of the true class"], cells)


def figures_table(figures: Mapping[str, float]) -> str:
    """Return figures by name with their intervals; those of classes have a table of their own."""
    rows = []
    for name, value in sorted(figures.items()):
        if not (is_end(name) or is_of_a_class(name)):
            interval = interval_of(figures, name)
            rows.append([f"`{name}`", f"{value:.4f}", "" if interval is None else "{:.4f} to {:.4f}".format(*interval)])
    return _table(["figure", "value", f"{100 * LEVEL:g} % interval"], rows)


def detection_table(summary: Summary) -> str:
    """Return sensitivity, specificity, PPV and AUROC of each class with intervals, and what was drawn for these."""
    headings = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "auroc": "AUROC"}
    values, intervals = summary.of_each_class(), summary.intervals.per_class
    rows = []
    for i, name in enumerate(summary.names):
        cells = []
        for figure in headings:
            cell = _fraction(float(values[figure][i]))
            bounds = intervals[figure][:, i].tolist() if figure in intervals else [math.nan]
            finite = not any(map(math.isnan, [*bounds, float(values[figure][i])]))
            cells.append(f"{cell} ({bounds[0]:.3f} to {bounds[1]:.3f})" if finite else cell)
        rows.append([_cell(name), *cells, f"{int(summary.per_class.support[i]):,}"])
    table = _table(["class", *headings.values(), "images"], rows)
    if not intervals:
        return table
    drawn = f"groups of {summary.images:,} test images" if summary.grouped else "test images"
    told = f"{RESAMPLES:,} resamples of {summary.intervals.units:,} {drawn}"
    return f"{table}\n\nIn brackets: {100 * LEVEL:g} % intervals, from {told}."


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fraction(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is."""
    text = printable(" ".join(text.split()))
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return text
