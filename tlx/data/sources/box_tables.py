"""Find the tables of boxes of a set, and the file of its classes. No torch here."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlx.base.errors import TlxError, closest
from tlx.base.files import open_regular
from tlx.base.legible import composed, legible
from tlx.base.printable import enumerated
from tlx.data.sources.box_listing import no_objects
from tlx.data.sources.box_table import BoxTable, read_boxes
from tlx.data.sources.split_folders import part_called, split_of

_CLASS_FILES = ("class", "classes", "class_mapping", "class_list", "mapping")  # RetinaNet's: a name and a number
_DESCRIPTIONS = "class-descriptions"  # Open Images': a code and a name
_MOST_BYTES = 2**22


def find_tables(
    root: Path, files: Sequence[Path], tables: str | Sequence[str] | None, columns: Mapping[str, str | None] | None
) -> list[tuple[BoxTable, str | None]]:
    """Return the tables of a set, each with its split; None: its name says none.

    Args:
        root: The set's folder.
        files: The CSV files below it.
        tables: The tables, relative to the root or absolute; None: those that have a row for each box. Beside tables of
            splits others are left out, such as one of all images.
        columns: See `tlx.data.sources.box_table.read_boxes`.

    Raises:
        TlxError: There is none, or it is not known which of several are meant.
    """
    if tables is not None:
        named = [root / Path(name).expanduser() for name in ([tables] if isinstance(tables, str) else tables)]
        if missing := [file for file in named if not file.is_file()]:
            near = closest(missing[0].name, [file.name for file in files])
            hint = f"; did you mean '{near}'?" if near else ""
            raise TlxError(f"dataset.tables: expected a table of boxes, got {missing[0]}, not there{hint}")
        found = [read_boxes(file, columns) for file in named]
    else:
        found, reasons = [], []
        for file in files:
            if _is_class_file(file):
                continue
            try:
                found.append(read_boxes(file, columns))
            except TlxError as error:
                if str(error).startswith("dataset.columns"):
                    raise
                reasons.append(str(error))
        if not found:
            got = f"none that fits: {reasons[0]}" if reasons else "no CSV file"
            raise TlxError(f"{root}: expected a table with columns file, x1, y1, x2, y2, class, got {got}")
    parts = [(table, _split(table.path, root)) for table in found]
    splits = [split for _, split in parts if split is not None]
    if tables is None and "train" in splits and len(splits) > 1:
        parts = [(table, split) for table, split in parts if split is not None]
    if len(parts) == 1:
        return [(parts[0][0], None)]
    twice = any(splits.count(split) > 1 for split in splits)
    if twice or (splits and len(splits) < len(parts)) or (not splits and tables is None):
        names = enumerated([legible(_relative(table.path, root)) for table, _ in parts], 5)
        raise TlxError(
            f"dataset.tables: expected one table, or one each for train, val and test, got {names}; "
            "say which: dataset.tables=[FILE,FILE]"
        )
    return parts


def read_class_file(
    root: Path, files: Sequence[Path], tables: Sequence[tuple[BoxTable, str | None]]
) -> tuple[list[str], dict[str, str]]:
    """Return the classes of a set, and code -> name for classes that tables write as codes.

    They are those of a file such as `classes.csv` (name, number), in its order, or all of the tables, sorted.

    Raises:
        TlxError: There are no classes, or the file cannot be read.
    """
    labels = sorted({row.label for table, _ in tables for row in table.rows if row.box is not None})
    if not labels:
        raise _no_boxes(root, [table for table, _ in tables])
    for file in files:
        if file.suffix.lower() != ".csv" or not _is_class_file(file):
            continue
        rows = _pairs(file)
        if file.name.lower().startswith(_DESCRIPTIONS):
            called = {code: name for code, name in rows if code in labels}
            return sorted({called.get(label, label) for label in labels}), called
        numbered = [(int(number), name) for name, number in rows if number.isdigit()]
        numbered = numbered or [(int(number), name) for number, name in rows if number.isdigit()]
        names = [name for _, name in sorted(numbered)]
        if set(labels) & set(names):
            return list(dict.fromkeys(names)), {}
        by_number = {str(number): name for number, name in numbered}
        if set(labels) <= by_number.keys():
            return list(dict.fromkeys(names)), by_number
    if all(label.isascii() and label.isdigit() for label in labels):
        labels.sort(key=int)
    return labels, {}


def _no_boxes(root: Path, tables: Sequence[BoxTable]) -> TlxError:
    rows = [row for table in tables for row in table.rows]
    names = enumerated([legible(table.path.name) for table in tables], 3)
    problems = [row.problem for row in rows if row.problem]
    return no_objects(root, f"boxes in {names}", len(rows), problems, ("row", "rows"))


def _is_class_file(file: Path) -> bool:
    stem = file.stem.lower().strip("_")
    return stem in _CLASS_FILES or stem.startswith(_DESCRIPTIONS)


def _pairs(file: Path) -> list[tuple[str, str]]:
    try:
        with open_regular(file) as held:
            text = held.read(_MOST_BYTES).decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise TlxError(f"{file}: expected rows of a class and its number, got '{legible(reason)}'") from error
    return [(composed(row[0].strip()), composed(row[1].strip())) for row in rows if len(row) >= 2]


def _split(file: Path, root: Path) -> str | None:
    return part_called(file.stem) or split_of(_relative(file, root).parts[:-1])


def _relative(file: Path, root: Path) -> Path:
    return file.relative_to(root) if file.is_relative_to(root) else file
