"""The columns of a table of predictions: `test_predictions.csv` of a run, and the output of `tlx predict`."""

from __future__ import annotations

from collections.abc import Sequence

IMAGE, TRUE, PREDICTED, CONFIDENCE = "image", "true", "predicted", "confidence"
DISTANCE, UNKNOWN = "distance", "unknown"  # of the features to known images; whether that is beyond the limit
FOLD, REPEAT = "fold", "repeat"  # of a cross-validation
AREAS = (IMAGE, "class", "pixels", "share", "components")  # of a table of areas, a row for each image and class
BOXES = (IMAGE, "class", "score", "x1", "y1", "x2", "y2")  # of a table of boxes: edges in pixels
NUMBER = "boxes"  # in a table of counts, after the image: all boxes
IOU, F1 = "IoU", "F1"  # how well an image of masks or boxes was predicted
SCORES = (CONFIDENCE, IOU, F1)  # columns of numbers from 0 to 1
OF_IMAGE = ("objects", "right", "false", "missed")  # numbers of an image with boxes
_TAKEN = (IMAGE, TRUE, PREDICTED, CONFIDENCE, DISTANCE, UNKNOWN, FOLD, REPEAT)


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """Return the column of each class: its name, or `probability of true` if another column has that name.

    A class has the same column in every table, with or without true classes. No two columns are equal, even if two
    classes are, as the cranes of ImageNet: `crane`, `crane (2)`.
    """
    return _named_apart(class_names, _TAKEN, "probability of")


def count_columns(class_names: Sequence[str]) -> list[str]:
    """Return the columns of a table of counts: the image, all boxes, and a column for each class."""
    taken = (IMAGE, NUMBER)
    return [*taken, *_named_apart(class_names, taken, "number of")]


def _named_apart(class_names: Sequence[str], taken: Sequence[str], prefix: str) -> list[str]:
    columns: list[str] = []
    for name in class_names:
        base = f"{prefix} {name}" if name in taken else name
        column, again = base, 2
        while column in (*taken, *columns) or (column != name and column in class_names):
            column, again = f"{base} ({again})", again + 1
        columns.append(column)
    return columns
