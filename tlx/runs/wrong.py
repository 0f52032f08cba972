"""The test images that a run predicts wrong, worst first, as a table that a notebook shows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, overload

from tlx.base.errors import TlxError
from tlx.base.printable import aligned, counted, one_line
from tlx.records.directory import RunDirectory
from tlx.records.prediction_columns import IMAGE, SCORES
from tlx.records.tables import read_rows
from tlx.tasks.kind import TaskKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = "test_predictions.csv"
_MOST = 2**30  # bytes; a row of a thousand classes has ten thousand
_SHOWN = 20  # rows
Row = dict[str, str | float]


@dataclass(frozen=True)
class WrongImages(Sequence[Row]):
    """Wrongly predicted test images, worst first; a slice of them is one, too.

    Args:
        rows: For each image its name and how it went wrong, by column.
        columns: The columns, at least the image.
        tested: Number of test images.
        draw: Draws some of the rows, given the overrides of the configuration that say where images have moved.
    """

    rows: Sequence[Row]
    columns: Sequence[str]
    tested: int
    draw: Callable[[Sequence[Row], Sequence[str]], Figure]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> WrongImages: ...

    def __getitem__(self, place: int | slice) -> Row | WrongImages:
        return replace(self, rows=self.rows[place]) if isinstance(place, slice) else self.rows[place]

    def __repr__(self) -> str:
        return "\n".join([self._title, *aligned(self._cells), *self._more])

    def _repr_html_(self) -> str:
        head, *rows = (
            "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(["th", *["td"] * len(self)], self._cells, strict=False)
        )
        lines = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
        return f"<p>{self._title}</p><table>{lines}</table>" + "".join(f"<p>{line}</p>" for line in self._more)

    @property
    def _title(self) -> str:
        return f"{len(self):,} wrong of {counted(self.tested, 'test image', 'test images')}, worst first"

    @property
    def _cells(self) -> list[list[str]]:
        return [[*self.columns], *([shown(row[name]) for name in self.columns] for row in self.rows[:_SHOWN])]

    @property
    def _more(self) -> list[str]:
        rest = len(self) - _SHOWN
        return [f"and {rest:,} more"] if rest > 0 else []

    def show(self, most: int = 20, overrides: Sequence[str] = ()) -> Figure:
        """Return a figure of the worst images; a notebook shows it, `savefig("wrong.png")` writes it.

        Of masks and boxes it is the picture of the review, with truth and prediction of each image.

        Args:
            most: Number of images at most.
            overrides: For example `["dataset.root=~/pets"]`, if the images have moved.

        Raises:
            TlxError: There is no wrong image, or the images are not there.
        """
        if not self.rows[:most]:
            raise TlxError(f"expected wrong test images, got none of {self.tested:,}; nothing is to be shown")
        return self.draw(self.rows[:most], overrides)


def wrong_images(
    run: RunDirectory, kind: TaskKind, draw: Callable[[Sequence[Row], Sequence[str]], Figure]
) -> WrongImages:
    """Return the wrong images of a run.

    Args:
        run: A finished run.
        kind: The kind of its task.
        draw: Draws them, see `WrongImages`.

    Raises:
        TlxError: The run has no table of predictions, or the task gives images no verdict.
    """
    path, columns = run.need(TABLE), (IMAGE, *kind.shown_of_wrong)
    if not kind.shown_of_wrong:
        raise TlxError(f"expected a task that says which images are wrong, got '{kind.name}'")
    try:
        rows = read_rows(path, _MOST)
        worst = [(wrong, row) for row in rows if (wrong := kind.wrongness(row)) is not None]
    except (OSError, csv.Error, KeyError, ValueError) as error:
        raise TlxError(f"{run.place}/{TABLE}: expected the columns {', '.join(columns)}, got {error}") from error
    worst.sort(key=lambda pair: -pair[0])
    found = [{name: float(row[name]) if name in SCORES else row[name] for name in columns} for _, row in worst]
    return WrongImages(found, columns, len(rows), draw)


def shown(cell: str | float) -> str:
    """Return a cell on one line; a score has three digits."""
    return f"{cell:.3f}" if isinstance(cell, float) else one_line(cell)
