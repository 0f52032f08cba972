"""The columns of a table of predictions: `test_predictions.csv` of a run, and the output of `tlx predict`."""

from __future__ import annotations

from collections.abc import Sequence

IMAGE, TRUE, PREDICTED, CONFIDENCE = "image", "true", "predicted", "confidence"
AREAS = (IMAGE, "class", "pixels", "share", "components")  # of a table of areas, a row for each image and class
_TAKEN = (IMAGE, TRUE, PREDICTED, CONFIDENCE)


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """Return the column of each class: its name, or `probability of true` if another column has that name.

    A class has the same column in every table, with or without true classes. No two columns are equal, even if two
    classes are, as the cranes of ImageNet: `crane`, `crane (2)`.
    """
    columns: list[str] = []
    for name in class_names:
        base = f"probability of {name}" if name in _TAKEN else name
        column, again = base, 2
        while column in (*_TAKEN, *columns) or (column != name and column in class_names):
            column, again = f"{base} ({again})", again + 1
        columns.append(column)
    return columns
