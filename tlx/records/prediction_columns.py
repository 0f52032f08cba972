"""The columns of a table of predictions: `test_predictions.csv` of a run, and what `tlx predict` writes."""

from __future__ import annotations

from collections.abc import Sequence

IMAGE, TRUE, PREDICTED, CONFIDENCE = "image", "true", "predicted", "confidence"
_TAKEN = (IMAGE, TRUE, PREDICTED, CONFIDENCE)


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """Return a column a class: its name; `probability of true` where another column is called so.

    The same class has the same column in every table, whether that has the true classes or not. No two are alike, even
    where two classes are, as the cranes of ImageNet: `crane`, `crane (2)`.
    """
    columns: list[str] = []
    for name in class_names:
        base = f"probability of {name}" if name in _TAKEN else name
        column, again = base, 2
        while column in (*_TAKEN, *columns) or (column != name and column in class_names):
            column, again = f"{base} ({again})", again + 1
        columns.append(column)
    return columns
