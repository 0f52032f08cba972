"""Names of the classes of masks, and their values: as typed in `dataset.classes`, or from a file. No torch here.

Files: `classes.yaml` or `.json` (a list of names; value: name; name: value, or its colour; or one of these below
`names` or `classes`), `.csv` with columns (value and name, or name, r, g and b; `_classes.csv` of Roboflow), `.txt` (a
name a line; or value and name; or name and colour; `labelmap.txt` of CVAT).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.legible import composed

#: Names of files that say what the values of masks mean, the first one that is there counts.
FILES = (
    *("classes.yaml", "classes.yml", "classes.json", "classes.csv", "classes.txt", "_classes.csv", "labelmap.txt"),
    *("class_dict.csv", "label_class_dict.csv", "class_names.txt", "label_names.txt", "labels.txt", "codes.txt"),
    *("label_colors.txt", "colors.txt"),
)
_MOST_BYTES = 2**20
_IGNORED = {"__ignore__", "_ignore_", "ignore", "ignored"}
_VALUE = {
    "value",
    "pixel value",
    "pixel_value",
    "pixel",
    "id",
    "index",
    "class_id",
    "label_id",
    "number",
    "gray",
    "grey",
}
_NAME = {"name", "class", "class_name", "label", "names", "category"}
_COLOUR = {"color", "colour", "rgb", "hex"}

Value = int | str  # a number, a colour as `#rrggbb`, or a label of outlines


@dataclass(frozen=True)
class ClassMap:
    """What is known of the classes of masks before a mask is opened.

    Args:
        names: The classes, in the order of their indices.
        values: Value and class of each; None: the values follow the order of the names.
        ignored: Values that count nowhere.
        places: Where it was said, for messages.
        numbers: Number and class of each, where `values` are colours and numbers are said as well.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, int], ...] | None
    ignored: tuple[Value, ...] = ()
    places: str = "dataset.classes"
    numbers: tuple[tuple[Value, int], ...] | None = None

    @property
    def colours(self) -> bool:
        """Whether values are colours."""
        return any(isinstance(value, str) and value.startswith("#") for value, _ in self.values or ())

    def fitting(self, colours: bool) -> ClassMap:
        """Return the map for masks of colours, or of numbers, where both are known."""
        return self if colours or self.numbers is None else replace(self, values=self.numbers, numbers=None)


def typed_map(classes: Any, root: Path) -> ClassMap | None:
    """Return what `dataset.classes` says: names, value: name, or the path of a file, also relative to the set's root.

    Raises:
        TlxError: It is not understood, or there is no such file.
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        return read_map(typed_path(classes, root))
    return _map(classes, "dataset.classes")


def typed_path(classes: str, root: Path) -> Path:
    """Return the file that `dataset.classes` names, from here or from the set's root."""
    path = Path(classes).expanduser()
    return path if path.is_absolute() or path.is_file() else root / path


def found_file(folders: Iterable[Path]) -> Path | None:
    """Return the first file in some folders that says what the values mean."""
    return next((folder / name for folder in folders for name in FILES if (folder / name).is_file()), None)


def read_map(path: Path) -> ClassMap:
    """Read a file of classes.

    Raises:
        TlxError: There is no such file, or it is not understood; the message names it.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TlxError(f"{path}: expected a file of class names, got one of more than {_MOST_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TlxError(f"{path}: expected a file of class names, got '{reason}'") from error
    kind = path.suffix.lower()
    if kind in (".yaml", ".yml", ".json"):
        return _map(_loaded(path, text), str(path))
    return _of_rows(_csv(text) if kind == ".csv" else _lines(text), str(path))


def _loaded(path: Path, text: str) -> Any:
    import yaml

    try:
        held = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise TlxError(f"{path}: expected class names, got '{' '.join(str(error).split())}'") from error
    for key in ("names", "classes", "labels"):
        if isinstance(held, Mapping) and isinstance(held.get(key), list | Mapping):
            return held[key]
    return held


def _map(held: Any, place: str) -> ClassMap:
    if isinstance(held, Mapping):
        values = list(held.values())
        by_name = all(_is_value(value) for value in values) and not all(_is_value(key) for key in held)
        pairs = [(value, name) for name, value in held.items()] if by_name else list(held.items())
        return _of_pairs([(value_of(value, place), name) for value, name in pairs], place)
    if isinstance(held, list) and held and all(isinstance(one, Mapping) for one in held):
        return _of_rows([list(held[0]), *([one.get(key) for key in held[0]] for one in held)], place)
    if isinstance(held, list) and not any(isinstance(one, list) for one in held):
        return _of_names([_text(name) for name in held], place)
    raise TlxError(f"{place}: expected names of classes, or value: name, got {str(held)[:80]!r}")


def _of_names(names: Sequence[str], place: str) -> ClassMap:
    if names and names[0] in _IGNORED:  # as labelme exports: its number is -1
        names = names[1:]
    if not names or len(set(names)) != len(names):
        raise TlxError(f"{place}: expected different names of classes, got {', '.join(names) or 'none'}")
    return ClassMap(tuple(map(composed, names)), None, places=place)


def _of_pairs(pairs: Iterable[tuple[Value, Any]], place: str) -> ClassMap:
    """Values of one name are one class; a value without a name is ignored."""
    names: list[str] = []
    classes: dict[Value, int] = {}
    ignored: list[Value] = []
    for value, name in pairs:
        if value in classes or value in ignored:
            raise TlxError(f"{place}: expected each value once, got {value} twice")
        if name is None or _text(name).lower() in _IGNORED:
            ignored.append(value)
            continue
        text = composed(_text(name))
        if text not in names:
            names.append(text)
        classes[value] = names.index(text)
    if not names or len(names) > 255:
        raise TlxError(f"{place}: expected 1 to 255 classes, got {len(names)}")
    kinds = {"colour" if isinstance(v, str) and v.startswith("#") else type(v).__name__ for v in (*classes, *ignored)}
    if len(kinds) > 1:
        raise TlxError(f"{place}: expected numbers, colours or labels, got a mixture: {', '.join(map(str, classes))}")
    return ClassMap(tuple(names), tuple(classes.items()), tuple(ignored), place)


def _of_rows(rows: Sequence[Sequence[Any]], place: str) -> ClassMap:
    """Rows with a heading, or without: a name; a value and a name; a name and a colour."""
    if not rows:
        raise TlxError(f"{place}: expected names of classes, got none")
    if short := [row for row in rows if len(row) < len(rows[0])]:
        raise TlxError(f"{place}: expected {len(rows[0])} columns in each row, got {len(short[0])}: {list(short[0])}")
    heading = [_text(cell).strip().lower() for cell in rows[0]]
    name = next((i for i, cell in enumerate(heading) if cell in _NAME), None)
    if name is not None and len(rows) > 1:
        bands = [heading.index(band) for band in "rgb" if band in heading]
        bands = bands or [heading.index(band) for band in ("red", "green", "blue") if band in heading]
        colour = bands if len(bands) == 3 else [i for i, cell in enumerate(heading) if cell in _COLOUR][:1]
        number = next((i for i, cell in enumerate(heading) if cell in _VALUE and i != name), None)
        by_number = (
            None
            if number is None
            else _of_pairs([(value_of(row[number], place), row[name]) for row in rows[1:]], place)
        )
        if colour:
            cells = ([row[i] for i in colour] if len(colour) == 3 else row[colour[0]] for row in rows[1:])
            by_colour = _of_pairs(
                [(value_of(cell, place), row[name]) for cell, row in zip(cells, rows[1:], strict=True)], place
            )
            return replace(by_colour, numbers=None if by_number is None else by_number.values)
        if by_number is not None:
            return by_number
        return _of_names([_text(row[name]) for row in rows[1:]], place)
    if all(len(row) == 1 for row in rows):
        return _of_names([_text(row[0]) for row in rows], place)
    if all(len(row) == 2 and _is_value(row[0]) for row in rows):
        return _of_pairs([(value_of(row[0], place), row[1]) for row in rows], place)
    if all(len(row) == 2 and _is_value(row[1]) for row in rows):
        return _of_pairs([(value_of(row[1], place), row[0]) for row in rows], place)
    if all(len(row) == 4 and all(_is_value(cell) for cell in row[1:]) for row in rows):
        return _of_pairs([(value_of(row[1:], place), row[0]) for row in rows], place)
    raise TlxError(f"{place}: expected a name a line, a value and a name, or a name and a colour, got {list(rows[0])}")


def _csv(text: str) -> list[list[str]]:
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.reader(text.splitlines(), delimiter=separator)
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]


def _lines(text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if lines and all(line.count(":") == 3 for line in lines):  # CVAT: name:r,g,b:parts:actions
        return [[line.split(":")[0], line.split(":")[1]] for line in lines]
    found = []
    for line in lines:
        number = re.fullmatch(r"(\d+)\s*[:,;=\t ]\s*(\S.*)", line)
        colour = re.fullmatch(r"(.*\S)[\s:,;=]+(\d+)[\s,]+(\d+)[\s,]+(\d+)", line)
        colour_first = re.fullmatch(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,:;]+([^\d\s].*)", line)
        if colour_first:
            found.append([colour_first[4], ",".join(colour_first.group(1, 2, 3))])
        elif colour:
            found.append([colour[1], ",".join(colour.group(2, 3, 4))])
        else:
            found.append([number[1], number[2]] if number else [line])
    return found


def _is_value(value: Any) -> bool:
    """Whether something can be a number or a colour, and is no name."""
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, list | tuple):
        return len(value) == 3 and all(_is_value(one) for one in value)
    return isinstance(value, int) or bool(
        re.fullmatch(r"-?\d+|#[0-9a-fA-F]{6}|\d+[\s,]+\d+[\s,]+\d+", str(value).strip())
    )


def value_of(value: Any, place: str) -> Value:
    """A number, `#rrggbb`, or a label."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else _text(value).strip()
    if bands := re.fullmatch(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)", text):
        levels = [int(band) for band in bands.groups()]
        if max(levels) > 255:
            raise TlxError(f"{place}: expected levels of 0 to 255 in a colour, got {text}")
        return "#{:02x}{:02x}{:02x}".format(*levels)
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return text.lower()
    if re.fullmatch(r"\d+", text):
        return int(text)
    if re.fullmatch(r"-\d+", text):
        raise TlxError(f"{place}: expected values from 0 up, got {text}")
    return text


def _text(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
