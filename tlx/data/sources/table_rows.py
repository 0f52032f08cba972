"""Tables of labelled images: a path and a label a row, and a split where there is such a column. No torch here."""

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
from tlx.data.sources.layout import SPLIT_NAMES
from tlx.data.sources.split_folders import part_called

PARQUET = {".parquet", ".pq"}
_DELIMITERS = ",;\t|"
_NOTHING = {"na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "missing", "?", "-", "."}
_FOLDS = {"fold", "folds", "kfold", "cv_fold", "fold_id"}
_FOLDS_AT_MOST = 50
_TRUE, _FALSE = ("true", "1", "yes", "1.0"), ("false", "0", "no", "0.0")
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
        notes: What a person should be told of it, a line each.
    """

    rows: list[Row]
    class_names: list[str]
    has_splits: bool
    notes: tuple[str, ...] = ()

    def part(self, split: str | None) -> list[Row]:
        """The rows of a split; None: all."""
        return [row for row in self.rows if split is None or row.split == split]


def read_table(path: str | os.PathLike[str], columns: Columns) -> Table:
    """Read a table, CSV or Parquet by its extension. No image is looked for.

    CSV: UTF-8 or UTF-16; separated by commas, semicolons, tabs or bars, whichever the first line holds most of, or as
    Excel says in a line `sep=;` above. White space around values is left out. A path named twice alike counts once.

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
    header, lines, start = _parquet(path, columns) if path.suffix.lower() in PARQUET else _csv(path)
    places = _places(path, header, columns)
    part = part_called(columns.split or "")
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=start):
        row = _row(path, number, line, header, places, part)
        if row is not None and rows.setdefault(row.path, row) != row:
            raise contradiction(path, rows[row.path], row)
    if not rows:
        raise TlxError(f"{path}: expected a row for each image, got none below the names of the columns")
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
    """Labels that are how programs write that there is none."""
    for label, count in sorted(Counter(row.label for row in rows).items()):
        if label.lower() in _NOTHING:
            told = "if they have no label, take their rows out, or name the classes: dataset.classes=[…]"
            yield f"{count:,} images are of a class '{label}': {told}"


def _like_splits(columns: Mapping[str, set[str]]) -> Iterator[str]:
    """Columns whose values, or names, are those of splits."""
    for name, values in columns.items():
        words = {value.lower() for value in values} - {""}
        if name.lower() in _FOLDS and len(words) > 1:
            typed = f"dataset.group_column={name} leaves each whole, or make a column of train, val and test"
        elif len(words) > 1 and (words <= set(SPLIT_NAMES) or (part_called(name) and words <= {*_TRUE, *_FALSE})):
            typed = f"type dataset.split_column={name}"
        else:
            continue
        yield f"the column '{name}' looks like splits, and is not used: {typed}"


def _few_values(lines: Sequence[Sequence[Any]], place: int) -> set[str]:
    """The values of a column; none where they are more than splits and folds have."""
    found: set[str] = set()
    for line in lines:
        found.add(_text(line[place]) if place < len(line) else "")
        if len(found) > _FOLDS_AT_MOST:
            return set()
    return found


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


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
        raise TlxError(f"{path}: expected a value a column, got {got}; quote values that hold the separator")
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
    """Return the message for two rows of one image."""
    what = [f"'{row.label}'" + (f" in {row.split}" if one.split != other.split else "") for row in (one, other)]
    again = "" if one.path == other.path else f" as {other.path}"
    if (one.label, one.split) == (other.label, other.split):
        got = f"{one.path} in '{one.group}' and{again} in '{other.group}'"
        return TlxError(f"{path}: expected one group an image, got {got}")
    got = f"{one.path} as {what[0]} and{',' if again else ''}{again}{',' if again else ''} as {what[1]}"
    return TlxError(f"{path}: expected one label and one split an image, got {got}")


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


def _csv(path: Path) -> tuple[list[str], list[list[str]], int]:
    """Return the header, the lines below it, and the number of the first of these, counted from 1."""
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
        raise TlxError(f"{path}: expected a table as CSV in UTF-8, got {error}") from error
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
        raise TlxError(f"{path}: expected a table as Parquet, got {error}") from error
    by_name = {name: content.column(name).to_pylist() for name in wanted}
    return names, list(zip(*(by_name.get(name, [None] * len(content)) for name in names), strict=True)), 2
