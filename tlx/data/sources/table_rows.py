"""Read tables of labelled images: a path and a label in each row, optionally a split and a group. No torch here."""

from __future__ import annotations

import csv
import functools
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError, closest, did_you_mean
from tlx.base.files import open_regular
from tlx.base.legible import composed
from tlx.base.printable import counted
from tlx.data.sources.split_folders import SPLIT_NAMES, part_called

PARQUET = {".parquet", ".pq"}
_DELIMITERS = ",;\t|"
_NOTHING = {"na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "missing", "?", "-", "."}
_FOLDS = {"fold", "folds", "kfold", "cv_fold", "fold_id"}
_FOLDS_AT_MOST = 50
_TRUE, _FALSE = ("true", "1", "yes", "1.0"), ("false", "0", "no", "0.0")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # byte order marks that some spreadsheets write


@dataclass(frozen=True)
class Columns:
    """Names of the columns. Without `split` the splits are carved, without `group` images have no groups."""

    path: str = "path"
    label: str = "label"
    split: str | None = "split"
    group: str | None = None

    @classmethod
    def of(cls, dataset: Mapping[str, Any]) -> Columns:
        """Return the columns that a composed dataset node names."""
        return cls(**{spec.name: dataset.get(f"{spec.name}_column", spec.default) for spec in fields(cls)})


@dataclass(frozen=True)
class Row:
    """One labelled image: its path as written in the table, its label, train, val, test or None, and its group."""

    path: str
    label: str
    split: str | None
    group: str | None = None


@dataclass(frozen=True)
class Table:
    """The content of a table.

    Args:
        rows: One row for each image.
        class_names: The labels, sorted by value if all are whole numbers, otherwise as text.
        has_splits: Whether a column names the splits.
        notes: Remarks for the user, one line each.
    """

    rows: list[Row]
    class_names: list[str]
    has_splits: bool
    notes: tuple[str, ...] = ()

    def part(self, split: str | None) -> list[Row]:
        """Return the rows of a split; None: all."""
        return [row for row in self.rows if split is None or row.split == split]


def read_table(path: str | os.PathLike[str], columns: Columns) -> Table:
    """Read a table, CSV or Parquet depending on its extension, without looking for the images.

    CSV is in UTF-8 or UTF-16. The separator is the most frequent comma, semicolon, tab or bar in the first line, or the
    one in Excel's first line `sep=;`. White space around values is removed. Identical rows count once.

    Raises:
        TlxError: The file does not exist or is not a table, a column is missing, or rows are empty or contradict each
            other.
    """
    path = Path(path).expanduser()
    try:
        stat = path.stat()
    except OSError as error:
        raise TlxError(f"{path}: expected a table of images and labels, got no such file") from error
    return _read(path, columns, (stat.st_mtime_ns, stat.st_size))


def image_root(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> Path:
    """Return the folder to which paths in a table are relative."""
    return Path(root or Path(path).expanduser().parent).expanduser()


@functools.lru_cache(maxsize=4)
def _read(path: Path, columns: Columns, _: tuple[int, int]) -> Table:
    header, lines, start = _parquet(path, columns) if path.suffix.lower() in PARQUET else _csv(path)
    places = _places(path, header, columns)
    part = part_called(columns.split or "")
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=start):
        row = _row(path, number, line, header, places, part)
        if row is not None and rows.setdefault(row.path, row) != row:
            raise contradiction(path, rows[row.path], row)
    if not rows:
        raise TlxError(f"{path}: expected a row for each image, got none below the column names")
    has_splits = any(row.split for row in rows.values())
    unplaced = [row.path for row in rows.values() if has_splits and row.split is None]
    if unplaced:
        raise TlxError(
            f"{path}: expected a split in every row or in none, got {len(unplaced):,} without: {unplaced[0]}"
        )
    read = _table(path, list(rows.values()), has_splits)
    used = set(places.values()) if "split" not in places else set(range(len(header)))
    others = {name: _few_values(lines, i) for i, name in enumerate(header) if i not in used}
    return replace(read, notes=(*_absent(read.rows), *_like_splits(others)))


def _absent(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a note for each label by which programs mark a missing value."""
    for label, count in sorted(Counter(row.label for row in rows).items()):
        if label.lower() in _NOTHING:
            hint = "if this means that they have no label, remove their rows, or select classes: dataset.classes=[…]"
            yield f"{counted(count, 'image has', 'images have')} the class '{label}': {hint}"


def _like_splits(columns: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield a note for each unused column that looks like splits."""
    for name, values in columns.items():
        words = {value.lower() for value in values} - {""}
        if name.lower() in _FOLDS and len(words) > 1:
            hint = f"dataset.group_column={name} keeps each fold whole, or add a column with train, val and test"
        elif len(words) > 1 and (words <= set(SPLIT_NAMES) or (part_called(name) and words <= {*_TRUE, *_FALSE})):
            hint = f"type dataset.split_column={name}"
        else:
            continue
        yield f"the column '{name}' looks like splits but is not used: {hint}"


def _few_values(lines: Sequence[Sequence[Any]], place: int) -> set[str]:
    """Return the values of a column; none if there are more than splits or folds would have."""
    found: set[str] = set()
    for line in lines:
        found.add(_text(line[place]) if place < len(line) else "")
        if len(found) > _FOLDS_AT_MOST:
            return set()
    return found


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


def _places(path: Path, header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return the index of each column in a row."""
    wanted = {"path": columns.path, "label": columns.label}
    if columns.split is not None and (columns.split in header or columns.split != Columns.split):
        wanted["split"] = columns.split  # a column of the default name may be missing
    elif columns.split is not None:
        near = [name for name in header if name.strip().lower() == columns.split]
        if near:  # otherwise it would be ignored, and new splits carved
            raise TlxError(
                f"{path}: expected a column 'split' or none, got '{near[0]}'; type dataset.split_column={near[0]}, or "
                "dataset.split_column=null to carve new splits"
            )
    if columns.group is not None:
        wanted["group"] = columns.group
    missing = {role: name for role, name in wanted.items() if name not in header}
    if missing:
        expected = f"{'a column' if len(missing) == 1 else 'columns'} {' and '.join(map(repr, missing.values()))}"
        hints = [f"did you mean '{like}'?" for name in missing.values() if (like := closest(name, header))]
        hints.append(f"type {' '.join(f'dataset.{role}_column=NAME' for role in missing)}")
        raise TlxError(f"{path}: expected {expected}, got the columns {', '.join(header)}; {'; '.join(hints)}")
    return {role: list(header).index(name) for role, name in wanted.items()}


def _row(
    path: Path,
    number: int,
    line: Sequence[Any],
    header: Sequence[str],
    places: Mapping[str, int],
    part: str | None,
) -> Row | None:
    values = [_text(value) for value in line]
    if not any(values):
        return None
    if any(values[len(header) :]):
        got = f"{len(line)} values under {len(header)} columns in row {number} ({', '.join(values)})"
        raise TlxError(f"{path}: expected one value per column, got {got}; quote values that contain the separator")
    found = {role: values[place] if place < len(values) else "" for role, place in places.items()}
    for role in ("path", "label", "group"):
        if found.get(role) == "":
            named = found["path"] or ", ".join(filter(None, values))
            raise TlxError(f"{path}: expected a {role} in every row, got none in row {number} ({named})")
    word = found.get("split", "")
    split = SPLIT_NAMES.get(word.lower())
    if split is None and part is not None:  # a column `is_valid`, `test`, …
        other = "test" if part == "train" else "train"
        split = {**dict.fromkeys(_TRUE, part), **dict.fromkeys(_FALSE, other)}.get(word.lower())
    if word and split is None:
        raise TlxError(
            f"{path}: expected train, val or test in the split column, got '{word}' in row {number}; "
            f"{did_you_mean(word, SPLIT_NAMES)}".rstrip("; ")
        )
    return Row(found["path"], composed(found["label"]), split, found.get("group"))


def contradiction(path: Path, one: Row, other: Row) -> TlxError:
    """Return the error for two contradicting rows of one image."""
    what = [f"'{row.label}'" + (f" in {row.split}" if one.split != other.split else "") for row in (one, other)]
    again = "" if one.path == other.path else f" as {other.path}"
    if (one.label, one.split) == (other.label, other.split):
        got = f"{one.path} in '{one.group}' and{again} in '{other.group}'"
        return TlxError(f"{path}: expected one group per image, got {got}")
    got = f"{one.path} as {what[0]} and{',' if again else ''}{again}{',' if again else ''} as {what[1]}"
    return TlxError(f"{path}: expected one label and one split per image, got {got}")


def _table(path: Path, rows: list[Row], has_splits: bool) -> Table:
    labels = {row.label for row in rows if row.split in (None, "train")}
    if not labels:
        have = ", ".join(sorted({str(row.split) for row in rows}))
        raise TlxError(f"{path}: expected training images, got only images for {have}")
    for row in rows:
        if row.label not in labels:
            hint = did_you_mean(row.label, labels)
            raise TlxError(f"{path}: class '{row.label}' is in {row.split} but not in train; {hint}".rstrip("; "))
    whole = all(label.isascii() and label.isdigit() for label in labels)
    return Table(rows, sorted(labels, key=lambda label: (int(label), label) if whole else (0, label)), has_splits)


def _csv(path: Path) -> tuple[list[str], list[list[str]], int]:
    """Return the header, the lines below it, and the line number of the first of these, counted from 1."""
    try:
        with open_regular(path) as file:
            data = file.read()
        text = data.decode(_MARKS.get(data[:2], "utf-8-sig"))
        excel = re.match(r"\s*\"?sep=(.)\"?[ ,;\t|]*(\r\n|\r|\n)", text)
        text = text[excel.end() :] if excel else text
        first = text.lstrip().partition("\n")[0]
        delimiter = excel[1] if excel else max(_DELIMITERS, key=first.count)
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise TlxError(f"{path}: expected a CSV table in UTF-8, got {error}") from error
    start = 2 if excel is None else 3
    while lines and not any(value.strip() for value in lines[0]):
        lines, start = lines[1:], start + 1
    if not lines:
        raise TlxError(f"{path}: expected a table, got an empty file")
    return [name.strip() for name in lines[0]], lines[1:], start


def _parquet(path: Path, columns: Columns) -> tuple[list[str], list[Sequence[Any]], int]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise TlxError(
            f"{path}: expected pyarrow to read Parquet, got none; type: pip install 'tlx[parquet]'"
        ) from error
    try:
        open_regular(path).close()
        names = list(parquet.read_schema(path).names)
        used = (columns.path, columns.label, columns.split, columns.group)
        wanted = [name for name in names if name in used or part_called(name) or name.lower() in _FOLDS]
        content = parquet.read_table(path, columns=wanted)
    except (OSError, ArrowException) as error:
        raise TlxError(f"{path}: expected a Parquet table, got {error}") from error
    by_name = {name: content.column(name).to_pylist() for name in wanted}
    return names, list(zip(*(by_name.get(name, [None] * len(content)) for name in names), strict=True)), 2
