"""The cells of a class in a table: its metrics, some with their intervals; such a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from tlx.measures.by_class import ByClass
from tlx.measures.sections import Cell, Estimate, Interval, Table


def class_cells(
    of: int,
    figures: Iterable[str],
    values: Mapping[str, np.ndarray],
    intervals: Mapping[str, np.ndarray],
    shown: Collection[str],
) -> list[Cell]:
    """Return a cell for each metric of a class.

    Args:
        of: The class.
        figures: The metrics.
        values: Metric -> values of the classes (K,).
        intervals: Metric -> lower and upper ends (2, K); a metric may have none.
        shown: The metrics that are shown with their intervals.
    """
    cells: list[Cell] = []
    for figure in figures:
        value = float(values[figure][of])
        low, high = intervals[figure][:, of].tolist() if figure in intervals else (math.nan, math.nan)
        cells.append(Estimate(value, Interval(low, high)) if figure in shown else value)
    return cells


def by_class(table: Table, counts: str, figures: Sequence[str], worst_by: str) -> ByClass:
    """Return some columns of a table of classes, whose first column has their names.

    Args:
        table: The table.
        counts: The column of the number of images or objects.
        figures: The columns of figures.
        worst_by: The figure that decides which classes are the worst.
    """
    places = [table.columns.index(name) for name in figures]
    count = table.columns.index(counts)
    rows = [(str(row[0]), int(_value(row[count])), [_value(row[i]) for i in places]) for row in table.rows]
    return ByClass(counts, figures, worst_by, rows)


def _value(cell: Cell) -> float:
    assert isinstance(cell, int | float | Estimate)
    return float(cell.value if isinstance(cell, Estimate) else cell)
