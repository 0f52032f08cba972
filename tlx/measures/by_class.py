"""The test figures of a run for a terminal: the whole split with intervals, and a table of the worst classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tlx.base.printable import aligned, counted, one_line, shortened
from tlx.measures.interval_text import with_interval
from tlx.measures.names import interval_of, is_end, is_of_a_class

_LONGEST_NAME = 32  # columns of a class name at most


@dataclass(frozen=True)
class ByClass:
    """The figures of each class of a test split.

    Args:
        counts: What is counted, the heading of a column: `images`, `objects`.
        figures: Headings of the figures; larger is better.
        worst_by: The figure that decides which classes are the worst.
        rows: Class name, number of its images or objects, and its figures, NaN where undefined.
    """

    counts: str
    figures: Sequence[str]
    worst_by: str
    rows: Sequence[tuple[str, int, Sequence[float]]]

    def worst_first(self) -> list[tuple[str, int, Sequence[float]]]:
        """Return the rows, worst class first; classes without a figure come last."""

        def place(row: tuple[str, int, Sequence[float]]) -> tuple[bool, float]:
            return (True, 0.0) if math.isnan(row[2][by]) else (False, row[2][by])

        by = self.figures.index(self.worst_by)
        return sorted(self.rows, key=place)

    def lines(self, most: int, rest: bool = True) -> list[str]:
        """Return a table of the worst classes and, if there are more, a line about the rest.

        Args:
            most: Largest number of rows.
            rest: Whether to add that line.
        """
        rows, figures = self.worst_first(), self.figures
        cells = [["class", self.counts, *figures]]
        cells += [
            [shortened(one_line(name), _LONGEST_NAME), f"{count:,}", *map(_shown, values)]
            for name, count, values in rows[:most]
        ]
        lines = aligned(cells, right=range(1, len(cells[0])))
        by = figures.index(self.worst_by)
        others = [values[by] for _, _, values in rows[most:] if not math.isnan(values[by])]
        if rest and len(rows) > most:
            ends = f": {self.worst_by} {_shown(min(others))} to {_shown(max(others))}" if others else ""
            lines.append(f"and {counted(len(rows) - most, 'more class', 'more classes')}{ends}")
        return lines


def figure_lines(figures: Mapping[str, float], headline: str) -> list[str]:
    """Return one line for each figure of the whole split, the main one first: `test/f1  0.52 (0.47 to 0.57)`.

    Args:
        figures: Figures with the ends of their intervals, also of classes, which are left out.
        headline: The main figure.
    """
    names = [name for name in figures if name.startswith("test/") and not (is_end(name) or is_of_a_class(name))]
    names.sort(key=lambda name: (name != headline, name.endswith("loss"), name))
    width = max(map(len, names), default=0)
    lines = []
    for name in names:
        lines.append(f"{name:<{width}}  {with_interval(figures[name], interval_of(figures, name))}")
    return lines


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"
