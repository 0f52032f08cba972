"""Tables of labelled images: a path and a label a row, and a split where there is such a column. No torch here."""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tlx.data.layout import SPLIT_NAMES
from tlx.errors import TlxError, did_you_mean

PARQUET = {".parquet", ".pq"}
_DELIMITERS = ",;\t|"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # as some spreadsheets write


@dataclass(frozen=True)
class Columns:
    """Names of the columns; `split` None: the splits are carved; `group` None: images belong to nobody."""

    path: str = "path"
    label: str = "label"
    split: str | None = "split"
    group: str | None = None

    @classmethod
    def of(cls, dataset: Mapping[str, Any]) -> Columns:
        """Those that a composed dataset node names."""
        return cls(**{spec.name: dataset.get(f"{spec.name}_column", spec.default) for spec in fields(cls)})


@dataclass(frozen=True)
class Row:
    """One labelled image: its path as it stands in the table, its label, train, val, test or None, and its group."""

    path: str
    label: str
    split: str | None
    group: str | None = None


@dataclass(frozen=True)
class Table:
    """What a table says.

    Args:
        rows: One an image.
        class_names: The labels: those that are all whole numbers in their order, others sorted as text.
        has_splits: Whether a column names the splits.
    """

    rows: list[Row]
    class_names: list[str]
    has_splits: bool

    def part(self, split: str | None) -> list[Row]:
        """The rows of a split; None: all."""
        return [row for row in self.rows if split is None or row.split == split]


def read_table(path: str | os.PathLike[str], columns: Columns) -> Table:
    """Read a table, CSV or Parquet by its extension. No image is looked for.

    CSV: UTF-8 or UTF-16; separated by commas, semicolons, tabs or bars, whichever the first line holds most of. White
    space around values is left out. An image named twice alike counts once.

    Raises:
        TlxError: There is no such file, it is no table, a column is missing, or rows are empty or contradict one
            another.
    """
    path = Path(path).expanduser()
    try:
        stat = path.stat()
    except OSError as error:
        raise TlxError(f"{path}: expected a table of images and labels, got no such file") from error
    return _read(path, columns, (stat.st_mtime_ns, stat.st_size))


def image_root(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> Path:
    """What paths in a table are relative to."""
    return Path(root or Path(path).expanduser().parent).expanduser()


@functools.lru_cache(maxsize=4)
def _read(path: Path, columns: Columns, _: tuple[int, int]) -> Table:
    header, lines = _parquet(path, columns) if path.suffix.lower() in PARQUET else _csv(path)
    places = _places(path, header, columns)
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=2):
        row = _row(path, number, line, places)
        if row is not None and rows.setdefault(row.path, row) != row:
            raise _contradiction(path, rows[row.path], row)
    if not rows:
        raise TlxError(f"{path}: expected a row for each image, got none below the names of the columns")
    has_splits = any(row.split for row in rows.values())
    unplaced = [row.path for row in rows.values() if has_splits and row.split is None]
    if unplaced:
        raise TlxError(
            f"{path}: expected a split in every row or in none, got {len(unplaced):,} without: {unplaced[0]}"
        )
    return _table(path, list(rows.values()), has_splits)


def _places(path: Path, header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Column -> its place in a row."""
    wanted = {"path": columns.path, "label": columns.label}
    if columns.split is not None and (columns.split in header or columns.split != Columns.split):
        wanted["split"] = columns.split  # that by the usual name may be missing
    elif columns.split is not None:
        near = [name for name in header if name.strip().lower() == columns.split]
        if near:  # it would be passed over, and other splits made
            raise TlxError(
                f"{path}: expected a column 'split' or none, got '{near[0]}'; type dataset.split_column={near[0]}, or "
                "dataset.split_column=null to have the splits carved"
            )
    if columns.group is not None:
        wanted["group"] = columns.group
    for role, name in wanted.items():
        if name not in header:
            hint = f"{did_you_mean(name, header)}; type dataset.{role}_column=NAME".lstrip("; ")
            raise TlxError(f"{path}: expected a column '{name}', got the columns {', '.join(header)}; {hint}")
    return {role: list(header).index(name) for role, name in wanted.items()}


def _row(path: Path, number: int, line: Sequence[Any], places: Mapping[str, int]) -> Row | None:
    values = ["" if value is None or value != value else str(value).strip() for value in line]
    if not any(values):
        return None
    found = {role: values[place] if place < len(values) else "" for role, place in places.items()}
    for role in ("path", "label", "group"):
        if found.get(role) == "":
            named = found["path"] or ", ".join(filter(None, values))
            raise TlxError(f"{path}: expected a {role} in every row, got none in row {number} ({named})")
    word = found.get("split", "")
    split = SPLIT_NAMES.get(word.lower())
    if word and split is None:
        raise TlxError(
            f"{path}: expected train, val or test in the split column, got '{word}' in row {number}; "
            f"{did_you_mean(word, SPLIT_NAMES)}".rstrip("; ")
        )
    return Row(found["path"], found["label"], split, found.get("group"))


def _contradiction(path: Path, one: Row, other: Row) -> TlxError:
    what = [f"'{row.label}'" + (f" in {row.split}" if one.split != other.split else "") for row in (one, other)]
    if (one.label, one.split) == (other.label, other.split):
        return TlxError(f"{path}: expected one group an image, got {one.path} in '{one.group}' and in '{other.group}'")
    return TlxError(f"{path}: expected one label and one split an image, got {one.path} as {what[0]} and as {what[1]}")


def _table(path: Path, rows: list[Row], has_splits: bool) -> Table:
    labels = {row.label for row in rows if row.split in (None, "train")}
    if not labels:
        have = ", ".join(sorted({str(row.split) for row in rows}))
        raise TlxError(f"{path}: expected images to train on, got images for {have} only")
    for row in rows:
        if row.label not in labels:
            hint = did_you_mean(row.label, labels)
            raise TlxError(f"{path}: class '{row.label}' is in {row.split} but not in train; {hint}".rstrip("; "))
    whole = all(label.isascii() and label.isdigit() for label in labels)
    return Table(rows, sorted(labels, key=lambda label: (int(label), label) if whole else (0, label)), has_splits)


def _csv(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        data = path.read_bytes()
        text = data.decode(_MARKS.get(data[:2], "utf-8-sig"))
        first = text.lstrip().partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first.count)
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise TlxError(f"{path}: expected a table as CSV in UTF-8, got {error}") from error
    while lines and not any(value.strip() for value in lines[0]):
        lines = lines[1:]
    if not lines:
        raise TlxError(f"{path}: expected a table, got an empty file")
    return [name.strip() for name in lines[0]], lines[1:]


def _parquet(path: Path, columns: Columns) -> tuple[list[str], list[Sequence[Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise TlxError(
            f"{path}: expected pyarrow to read Parquet, got none; type: pip install 'tlx[parquet]'"
        ) from error
    try:
        names = list(parquet.read_schema(path).names)
        wanted = [name for name in (columns.path, columns.label, columns.split, columns.group) if name in names]
        content = parquet.read_table(path, columns=wanted)
    except (OSError, ArrowException) as error:
        raise TlxError(f"{path}: expected a table as Parquet, got {error}") from error
    by_name = {name: content.column(name).to_pylist() for name in wanted}
    return names, list(zip(*(by_name.get(name, [None] * len(content)) for name in names), strict=True))
