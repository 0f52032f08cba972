"""Tables with a row for each box: the file of its image, its edges and its class. No torch here."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.files import open_regular
from tlx.base.legible import composed, legible
from tlx.data.box_labels import Box

ROLES = ("file", "x1", "y1", "x2", "y2", "class", "width", "height", "split", "ignore")
_NEEDED = ROLES[:6]
# Names of columns in public exports, in small letters, without anything but letters and digits.
_CALLED = {
    "file": ("filename", "file", "path", "image", "imagename", "imagefile", "imagepath", "imageid", "img", "filepath"),
    "x1": ("x1", "xmin", "left", "bboxxmin", "bboxx1", "minx"),
    "y1": ("y1", "ymin", "top", "bboxymin", "bboxy1", "miny"),
    "x2": ("x2", "xmax", "right", "bboxxmax", "bboxx2", "maxx"),
    "y2": ("y2", "ymax", "bottom", "bboxymax", "bboxy2", "maxy"),
    "class": ("class", "label", "labelname", "classname", "category", "categoryname", "name"),
    "width": ("width", "imagewidth", "imgwidth"),
    "height": ("height", "imageheight", "imgheight"),
    "split": ("split", "subset", "set"),
    "ignore": ("isgroupof", "iscrowd", "difficult", "ignore", "ignored"),
}
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DELIMITERS = ",;\t|"
_MOST_BYTES = 2**31


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
    """

    path: Path
    rows: tuple[BoxRow, ...]
    relative: bool
    columns: Mapping[str, str]


def read_boxes(path: Path, columns: Mapping[str, str] | None = None) -> BoxTable:
    """Read a table; one that has not changed is read once.

    The separator is the most frequent comma, semicolon, tab or bar of the first line. Without a header the columns are
    file, x1, y1, x2, y2, class, as RetinaNet reads them.

    Args:
        path: A CSV file in UTF-8 or UTF-16.
        columns: Role (`ROLES`) -> name of its column, for columns that are called otherwise.

    Raises:
        TlxError: It is missing, or no table of boxes.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise TlxError(f"dataset.tables: expected a table of boxes, got {path}, not there") from error
    return _read(path, tuple(sorted((columns or {}).items())), (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=8)
def _read(path: Path, columns: tuple[tuple[str, str], ...], stamp: tuple[int, int]) -> BoxTable:
    lines = _lines(path, stamp[1])
    if not lines:
        raise TlxError(f"{path}: expected a table of boxes, got an empty file")
    named = _columns(path, lines[0][1], dict(columns))
    places = named or dict(zip(_NEEDED, range(6), strict=True))
    rows = []
    for number, line in lines[1 if named else 0 :]:
        rows.append(_row(number, line, places))
        if not rows[-1].file:
            raise TlxError(f"{path}: expected the file of an image in each row, got none in row {number}")
    used = [edge for row in rows if row.box is not None for edge in row.box]
    relative = bool(used) and max(used) <= 1.01 and any(edge != int(edge) for edge in used if abs(edge) < 2)
    header = lines[0][1]
    return BoxTable(path, tuple(rows), relative, {role: header[place] for role, place in named.items()})


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


def _columns(path: Path, header: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Return role -> place of its column; empty: the first row is no header.

    Raises:
        TlxError: A column is missing, or the rows are not those of boxes.
    """
    places: dict[str, int] = {}
    for role, name in given.items():
        if role not in ROLES or name not in header:
            got = f"'{role}'" if role not in ROLES else f"'{name}', of the columns {', '.join(header)}"
            expected = f"some of {', '.join(ROLES)} and names of columns"
            raise TlxError(f"dataset.columns: expected {expected}, got {legible(got)}")
        places[role] = header.index(name)
    plain = [re.sub(r"[\W_]+", "", name.lower()) for name in header]
    for role, names in _CALLED.items():
        if role not in places:
            place = next((plain.index(name) for name in names if name in plain), None)
            if place is not None and place not in places.values():
                places[role] = place
    missing = [role for role in _NEEDED if role not in places]
    if not missing:
        return places
    if not given and len(header) == 6 and (_are_numbers(header[1:5]) or not any(header[1:5])):
        return {}
    raise TlxError(
        f"{path}: expected columns for {', '.join(_NEEDED)}, got none for {', '.join(missing)} in "
        f"{legible(', '.join(header[:20]))}; name them: 'dataset.columns={{{missing[0]}: NAME}}'"
    )


def _are_numbers(values: Sequence[str]) -> bool:
    try:
        return all(float(value) == float(value) for value in values)
    except ValueError:
        return False


def _row(number: int, line: Sequence[str], places: Mapping[str, int]) -> BoxRow:
    found = {role: line[place] if place < len(line) else "" for role, place in places.items()}
    file, label = found["file"], composed(found["class"])
    edges = [found[role] for role in ("x1", "y1", "x2", "y2")]
    split, size = found.get("split", ""), (_side(found.get("width", "")), _side(found.get("height", "")))
    if not any(edges):
        problem = f"row {number} has a class and no box" if label else None
        return BoxRow(file, None, "", size, split, problem=problem)
    problem = None
    if not _are_numbers(edges):
        wrong = next(edge for edge in edges if not _are_numbers([edge]))
        problem = f"row {number}: expected four numbers, got '{legible(wrong[:40])}'"
    elif not label:
        problem = f"row {number}: expected a class, got none"
    if problem is not None:
        return BoxRow(file, None, "", size, split, problem=problem)
    left, top, right, bottom = (float(edge) for edge in edges)
    ignored = found.get("ignore", "").lower() in ("1", "true", "yes")
    return BoxRow(file, (left, top, right, bottom), label, size, split, ignored)


def _side(value: str) -> int:
    try:
        return max(0, int(float(value)))
    except (ValueError, OverflowError):
        return 0
