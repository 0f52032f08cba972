"""The cells of a class in a table: its metrics, some with their intervals."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from tlx.measures.sections import Cell, Estimate, Interval


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
