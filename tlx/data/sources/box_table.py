"""Tables with a row for each box: the file of its image, its edges and its class. No torch here."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.files import open_regular
from tlx.base.legible import composed, legible
from tlx.data.box_labels import Box
from tlx.data.sources.box_columns import NEEDED, Columns, are_numbers, columns_of, settled

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DELIMITERS = ",;\t|"
_MOST_BYTES = 2**31
_ONE_CLASS = "object"  # of tables without a column of classes


@dataclass(frozen=True, slots=True)
class BoxRow:
    """A box of an image, or an image without one.

    Args:
        file: The image, as written.
        box: Left, top, right and bottom, as written; None: the row says that the image shows no object.
        label: The class; '' without a box.
        size: Width and height of the image in pixels; 0: not known.
        split: As written; ''.
        ignored: Whether the object neither counts as an object nor as background.
        problem: What is wrong with the row; None: nothing.
    """

    file: str
    box: Box | None
    label: str
    size: tuple[int, int] = (0, 0)
    split: str = ""
    ignored: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class BoxTable:
    """The rows of a table.

    Args:
        path: Its file.
        rows: In the order of the file.
        relative: Whether edges are fractions of the image.
        columns: Role -> the name of its column; empty: there is no header.
        reading: What the numbers of a box were taken for, because only that fits: `x and y are centres of boxes`; '':
            the names of the columns say it.
    """

    path: Path
    rows: tuple[BoxRow, ...]
    relative: bool
    columns: Mapping[str, str]
    reading: str = ""


def read_boxes(path: Path, columns: Mapping[str, str | None] | None = None) -> BoxTable:
    """Read a table; one that has not changed is read once.

    The separator is the most frequent comma, semicolon, tab or bar of the first line. Without a header the columns are
    file, x1, y1, x2, y2, class, as RetinaNet reads them. See `tlx.data.sources.box_columns` for what columns mean.

    Args:
        path: A CSV file in UTF-8 or UTF-16.
        columns: Role (`ROLES`) -> name of its column, for columns that are called otherwise; `class`: None: all objects
            are of one class, `object`.

    Raises:
        TlxError: It is missing, or no table of boxes.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise TlxError(f"dataset.tables: expected a table of boxes, got {path}, not there") from error
    return _read(path, tuple(sorted((columns or {}).items())), (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=8)
def _read(path: Path, columns: tuple[tuple[str, str | None], ...], stamp: tuple[int, int]) -> BoxTable:
    lines = _lines(path, stamp[1])
    if not lines:
        raise TlxError(f"{path}: expected a table of boxes, got an empty file")
    header = lines[0][1]
    named = columns_of(path, header, dict(columns))
    has_header = bool(named.places)
    if not has_header:
        named = Columns(dict(zip(NEEDED, range(6), strict=True)))
    rows = []
    for number, line in lines[1 if has_header else 0 :]:
        rows.append(_row(number, line, named))
        if not rows[-1].file:
            raise TlxError(f"{path}: expected the file of an image in each row, got none in row {number}")
    boxes = [(row.box, row.size) for row in rows if row.box is not None]
    used = [number for box, _ in boxes for number in box]
    relative = bool(used) and max(used) <= 1.01 and any(number != int(number) for number in used if abs(number) < 2)
    named, reading = settled(named, path, header, boxes, relative)
    rows = [row if row.box is None else replace(row, box=named.edges(row.box)) for row in rows]
    called = {role: header[place] for role, place in named.places.items()} if has_header else {}
    return BoxTable(path, tuple(rows), relative, called, reading)


def _lines(path: Path, size: int) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, with their numbers from 1."""
    try:
        if size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 30} GiB")
        with open_regular(path) as file:
            data = file.read()
        text = data.decode(_MARKS.get(data[:2], "utf-8-sig"))
        delimiter = max(_DELIMITERS, key=text.lstrip().partition("\n")[0].count)
        read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
        found = [(number, [value.strip() for value in row]) for number, row in enumerate(read, start=1)]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise TlxError(f"{path}: expected a table of boxes in UTF-8, got '{legible(reason)}'") from error
    return [(number, row) for number, row in found if any(row)]


def _row(number: int, line: Sequence[str], columns: Columns) -> BoxRow:
    """Return a row with the four numbers of its box as written."""
    found = {role: line[place] if place < len(line) else "" for role, place in columns.places.items()}
    edges = columns.numbers(line)
    one_class = _ONE_CLASS if any(edges) else ""
    file, label = found["file"], composed(found.get("class", one_class))
    split, size = found.get("split", ""), (_side(found.get("width", "")), _side(found.get("height", "")))
    if not any(edges):
        problem = f"row {number} has a class and no box" if label else None
        return BoxRow(file, None, "", size, split, problem=problem)
    problem = None
    if len(edges) != 4 or not are_numbers(edges):
        wrong = next((edge for edge in edges if not are_numbers([edge])), edges[0])
        problem = f"row {number}: expected four numbers, got '{legible(wrong[:40])}'"
    elif not label:
        problem = f"row {number}: expected a class, got none"
    if problem is not None:
        return BoxRow(file, None, "", size, split, problem=problem)
    left, top, right, bottom = (float(edge) for edge in edges)
    return BoxRow(file, (left, top, right, bottom), label, size, split, _is_true(found.get("ignore", "")))


def _is_true(value: str) -> bool:
    return value.lower() in ("true", "yes") or (are_numbers([value]) and float(value) == 1)


def _side(value: str) -> int:
    try:
        return max(0, int(float(value)))
    except (ValueError, OverflowError):
        return 0
