"""The test figures of a run in a terminal."""

from __future__ import annotations

import math

from tlx.base.printable import columns_of
from tlx.measures.by_class import figure_lines
from tlx.measures.class_cells import by_class
from tlx.measures.sections import Estimate, Interval, Table

FIGURES = ("precision", "recall", "F1")


def test_the_worst_classes_come_first_and_those_without_a_figure_last() -> None:
    """Guards against a table that hides the worst of many classes, or that begins with classes without images."""
    rows = [[f"class {i}", 3, 0.5, 0.5, (7 * i % 30) / 30] for i in range(30)]
    rows.append(["empty", 0, math.nan, math.nan, math.nan])
    found = by_class(Table("per_class", ["class", "images", *FIGURES], rows), "images", FIGURES, "F1")
    lines = found.lines(20)
    assert lines[0].split() == ["class", "images", "precision", "recall", "F1"]
    assert lines[1].split() == ["class", "0", "3", "0.500", "0.500", "0.000"]
    assert lines[2].split()[-1] == "0.033"
    assert lines[-1] == "and 11 more classes: F1 0.667 to 0.967"
    assert len(lines) == 22
    assert len(found.lines(3, rest=False)) == 4
    assert found.worst_first()[-1][0] == "empty"


def test_long_and_wide_names_keep_the_columns() -> None:
    """Guards against rows that a terminal breaks, columns out of line, and names that control the terminal."""
    names = ["cat", "a" * 300, "三毛猫" * 20, "e\u0301le\u0301phant", "\x1b[31mred\nline"]
    estimate = Estimate(0.5, Interval(0.4, 0.6))
    table = Table("per_class", ["class", "AP", "objects"], [[name, estimate, 12_345] for name in names])
    lines = by_class(table, "objects", ("AP",), "AP").lines(20)
    assert len({columns_of(line) for line in lines}) == 1
    assert columns_of(lines[0]) < 80
    assert all(line.isprintable() or "\u0301" in line for line in lines)
    assert lines[1].split()[-2:] == ["12,345", "0.500"]


def test_the_main_figure_comes_first_with_its_interval() -> None:
    """Guards against ends of intervals and figures of classes as lines of their own, and a loss before the result."""
    figures = {
        "test/loss": 2.0, "test/accuracy": 0.5, "test/accuracy_low": 0.25, "test/accuracy_high": 0.75,
        "test/ppv/low": 1.0, "test/ppv_low/low": 0.5, "val/accuracy": 1.0, "test/auroc": 0.9,
    }  # fmt: skip
    assert figure_lines(figures, "test/accuracy") == [
        "test/accuracy  0.5000 (0.2500 to 0.7500)", "test/auroc     0.9000", "test/loss      2.0000",
    ]  # fmt: skip
