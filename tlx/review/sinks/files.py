"""A review as plain files in `RUN/review`: pictures, a CSV file for each table, and review.md, which shows them all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tlx.base.files import write_text
from tlx.base.printable import one_line
from tlx.measures.drawing import write_png
from tlx.measures.names import interval_of, is_end, is_of_a_class
from tlx.measures.percentiles import LEVEL
from tlx.measures.sections import Cell, Code, Interval, Sections, Table, TableGroup
from tlx.records.directory import RunDirectory
from tlx.review.sinks.base import Sink

FOLDER = "review"


class FileSink(Sink):
    """Writes a review into a run directory.

    Args:
        run: The run.
        sections: The content of the review. All file names are recorded before the first file is written.
    """

    name = FOLDER

    def __init__(self, run: RunDirectory, sections: Sections) -> None:
        self.run, self.folder, self.sections = run, run.directory / FOLDER, sections
        self._text = [f"# {one_line(run.directory.name)}"]
        self._pictures: list[str] = []

    def open(self) -> None:
        """Remove the files of an earlier review and record the names of the new ones."""
        run, sections = self.run, self.sections
        names = [f"{picture.name}.png" for picture in sections.pictures]
        names += [f"{table.name}.csv" for group in sections.tables for table in group.tables]
        names = [f"{FOLDER}/{name}" for name in ("review.md", "figures.csv", *names)]
        for name in (name for name in run.files.names if name.startswith(f"{FOLDER}/")):
            run.files.remove(name)
        run.files.add(*names)

    def write_figures(self, figures: Mapping[str, float], compared: Sequence[str]) -> None:
        """Write figures with their intervals. Per-class figures have their own table."""
        self._write(figures_table(figures))

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3), as PNG."""
        write_png(pixels, self.folder / f"{name}.png")
        self._pictures.append(name)

    def write_tables(self, group: TableGroup) -> None:
        """Write tables as CSV."""
        self._text += [f"## {group.heading}", group.markdown()]
        for table in group.tables:
            write_text(self.folder / f"{table.name}.csv", table.csv())

    def close(self) -> None:
        """Write review.md."""
        shown = [f"![{name}]({name}.png)" for name in self._pictures]
        write_text(self.folder / "review.md", "\n\n".join([*self._text, *shown]) + "\n")

    def _write(self, table: Table) -> None:
        self._text.append(table.markdown())
        write_text(self.folder / f"{table.name}.csv", table.csv())


def figures_table(figures: Mapping[str, float]) -> Table:
    """Return a table of figures with their intervals, without per-class figures."""
    rows: list[list[Cell]] = []
    for name, value in sorted(figures.items()):
        if not (is_end(name) or is_of_a_class(name)):
            ends = interval_of(figures, name)
            rows.append([Code(name), float(value), Interval(*(ends or (math.nan, math.nan)))])
    return Table("figures", ["figure", "value", f"{100 * LEVEL:g} % interval"], rows, digits=4)
