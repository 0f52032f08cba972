"""The parts of a review as plain values: tables, pictures, embedded images. A task makes them, sinks write them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tlx.base.printable import printable
from tlx.measures.by_class import ByClass
from tlx.measures.interval_text import between, in_brackets

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Code(str):
    """A text that Markdown shows as code, such as the name of a metric."""


class Interval(NamedTuple):
    """The ends of an interval; NaN if it is not defined."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, in one cell."""

    value: float
    interval: Interval


Plain = str | float | int | bool
Cell = str | int | float | Interval | Estimate


@dataclass(frozen=True)
class Table:
    """Rows of values, which can be written as Markdown and CSV.

    Args:
        name: Name of its CSV file, without the suffix.
        columns: Heading of each column.
        rows: One cell per column. NaN means that a number is not defined.
        digits: Digits after the decimal point in Markdown; CSV has six.
        caption: A sentence before the table in Markdown.
        note: A sentence after it.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    digits: int = 3
    caption: str = ""
    note: str = ""

    def markdown(self) -> str:
        """Return the table with its sentences."""
        lines = [self.columns, ["---"] * len(self.columns), *([self._shown(cell) for cell in row] for row in self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join(filter(None, (self.caption, table, self.note)))

    def csv(self) -> str:
        """Return the table with its headings. An interval takes two columns, an estimate three."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        kinds = [_widest(row[i] for row in self.rows) for i in range(len(self.columns))]
        writer.writerow([name for column, kind in zip(self.columns, kinds, strict=True) for name in kind(column)])
        for row in self.rows:
            writer.writerow([text for cell, kind in zip(row, kinds, strict=True) for text in _stored(cell, kind)])
        return text.getvalue()

    def _shown(self, cell: Cell) -> str:
        form = f".{self.digits}f"
        if isinstance(cell, Estimate):
            value = self._shown(cell.value)
            return value + in_brackets(cell.interval, form) if math.isfinite(cell.value) else value
        if isinstance(cell, Interval):
            return between(cell, form)
        if isinstance(cell, float):
            return "–" if math.isnan(cell) else f"{cell:{form}}"
        if isinstance(cell, int):
            return f"{cell:,}"
        return f"`{cell}`" if isinstance(cell, Code) else escaped(cell)


@dataclass(frozen=True)
class TableGroup:
    """Tables about one subject, shown below one another.

    Args:
        name: Name by which sinks distinguish groups.
        heading: Heading in Markdown.
        tables: The tables; Markdown omits those without rows.
        otherwise: The text if no table has rows.
    """

    name: str
    heading: str
    tables: Sequence[Table]
    otherwise: str = ""

    def markdown(self) -> str:
        """Return the tables as Markdown, without the heading."""
        return "\n\n".join(table.markdown() for table in self.tables if table.rows) or self.otherwise


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when a sink asks for it.

    Args:
        name: Name of its file, without the suffix.
        draw: Returns a matplotlib figure, or pixels, uint8 (H, W, 3).
    """

    name: str
    draw: Callable[[], Figure | np.ndarray]


@dataclass(frozen=True)
class Embedding:
    """M images, at least one, as points.

    Args:
        name: Name of the embedded features.
        features: One row per image (M, D), float32.
        thumbnails: The images, uint8 (M, h, w, 3).
        columns: Headings of `rows`, at least two.
        rows: For each of the M images, one text per column.
    """

    name: str
    features: np.ndarray
    thumbnails: np.ndarray
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Sections:
    """What a task reports about a test split.

    Args:
        figures: Metrics, by flat names such as `test/ece`, in addition to those that the task logs.
        compared: Names of the metrics by which runs are compared.
        resampled: Metric -> its value in each resample of the test images (B,), see `tlx.measures.intervals`.
        units: Number of images or groups that were drawn from.
        predictions: One row per image of the test split, written for every run; None: the split has no images.
        by_class: The figures of each class, for a terminal; None: there are no classes, or no images.
        tables: For people.
        pictures: For people.
        embedding: For people.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    compared: Sequence[str] = ()
    resampled: Mapping[str, np.ndarray] = field(default_factory=dict)
    units: int = 0
    predictions: Table | None = None
    by_class: ByClass | None = None
    tables: Sequence[TableGroup] = ()
    pictures: Sequence[Picture] = ()
    embedding: Embedding | None = None


def escaped(text: str) -> str:
    """Return text on one line, with the characters escaped that Markdown interprets."""
    text = printable(" ".join(text.split()))
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return text


def _widest(cells: Iterator[Cell]) -> Callable[[str], list[str]]:
    """Return the function that makes the headings of a column from its name; the widest cell decides."""
    kinds = {type(cell) for cell in cells}
    return _of_estimate if Estimate in kinds else _of_interval if Interval in kinds else _alone


def _alone(column: str) -> list[str]:
    return [column]


def _of_interval(column: str) -> list[str]:
    return [f"{column} low", f"{column} high"]


def _of_estimate(column: str) -> list[str]:
    return [column, *_of_interval(column)]


def _stored(cell: Cell, headings: Callable[[str], list[str]]) -> list[str]:
    """Return a cell as texts, one for each heading of its column."""
    if isinstance(cell, Estimate):
        return [_number(cell.value), _number(cell.interval.low), _number(cell.interval.high)]
    if isinstance(cell, Interval):
        return [_number(cell.low), _number(cell.high)]
    text = _number(cell) if isinstance(cell, float) else str(cell)
    return [text, *[""] * (len(headings("")) - 1)]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
