"""What the columns of a table of boxes mean, by their names or else by their numbers. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.data.box_labels import Box

_EDGES = ("x1", "y1", "x2", "y2")
_SIDES = ("box_width", "box_height")
_CENTRE = ("x_center", "y_center")
NEEDED = ("file", *_EDGES, "class")
# What the four numbers of a single column are, in the words of torchvision.ops.box_convert.
_FORMS = {"xywh": (*_EDGES[:2], *_SIDES), "xyxy": _EDGES, "cxcywh": (*_CENTRE, *_SIDES)}
_SAID = {"xywh": "a corner and the sides", "xyxy": "two corners", "cxcywh": "the centre and the sides"}
_WHOLE = "bbox"  # a single column of four numbers; the name of its role while its form is open
ROLES = (*NEEDED, "width", "height", "split", "ignore", *_SIDES, *_CENTRE, *_FORMS)
# Names of columns in public exports, in small letters, without anything but letters and digits.
_CALLED = {
    "file": ("filename", "file", "path", "image", "imagename", "imagefile", "imagepath", "imageid", "img", "filepath"),
    "x1": ("x1", "xmin", "left", "bboxxmin", "bboxx1", "minx", "bboxx", "bboxleft"),
    "y1": ("y1", "ymin", "top", "bboxymin", "bboxy1", "miny", "bboxy", "bboxtop"),
    "x2": ("x2", "xmax", "right", "bboxxmax", "bboxx2", "maxx"),
    "y2": ("y2", "ymax", "bottom", "bboxymax", "bboxy2", "maxy"),
    "class": ("class", "label", "labelname", "classname", "category", "categoryname", "name"),
    "box_width": ("boxwidth", "bboxwidth", "bboxw", "boxw", "w"),
    "box_height": ("boxheight", "bboxheight", "bboxh", "boxh", "h"),
    "x_center": ("xcenter", "xcentre", "centerx", "centrex", "cx", "xc", "bboxxcenter", "bboxcenterx"),
    "y_center": ("ycenter", "ycentre", "centery", "centrey", "cy", "yc", "bboxycenter", "bboxcentery"),
    "width": ("width", "imagewidth", "imgwidth"),
    "height": ("height", "imageheight", "imgheight"),
    "split": ("split", "subset", "set"),
    "ignore": ("isgroupof", "iscrowd", "difficult", "ignore", "ignored"),
    _WHOLE: ("bbox", "boundingbox", "box"),
}
_POINT = ("x", "y")  # columns that are called so: of a corner, or of the centre
_ROUNDED = 1.0, 0.01  # by which edges may be off: pixels, or a fraction of the image


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Args:
        places: Role -> place of its column; without `class` all objects are of one class.
        box: The four roles that describe a box; `x` and `y`: a corner or the centre, see `settled`. Only `bbox`: a
            single column with four numbers, likewise.
        whole: The place of the single column that holds all four numbers; None: each has its own column.
    """

    places: Mapping[str, int]
    box: tuple[str, ...] = _EDGES
    whole: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the names do not say what the numbers of a box are."""
        return self.box[:2] == _POINT or self.box == (_WHOLE,)

    def numbers(self, line: Sequence[str]) -> list[str]:
        """Return the four numbers of a box as written, '' for each that is missing; one text if they are not four."""
        if self.whole is None:
            return [_value(line, self.places[role]) for role in self.box]
        written = _value(line, self.whole)
        inside = re.fullmatch(r"[\[({]?([^\[\](){}]*)[\])}]?", written)
        numbers = re.findall(r"[^\s,;]+", inside[1]) if inside else []
        return numbers if inside and len(numbers) in (0, 4) else [written]

    def edges(self, numbers: Sequence[float]) -> Box:
        """Return left, top, right and bottom of a box from its four numbers."""
        x, y, width, height = numbers
        if self.box == _EDGES:
            return x, y, width, height
        if self.box[:2] == _CENTRE:
            x, y = x - width / 2, y - height / 2
        return x, y, x + width, y + height

    def fits(self, numbers: Sequence[float], size: tuple[int, int], relative: bool) -> bool:
        """Return whether the box of four numbers lies in its image, and two corners are in order.

        Args:
            numbers: As written.
            size: Width and height of the image in pixels; 0: not known.
            relative: Whether the numbers are fractions of the image.
        """
        rounded = _ROUNDED[relative]
        width, height = (1, 1) if relative else size
        left, top, right, bottom = self.edges(numbers)
        inside = 0 in (width, height) or (right <= width + rounded and bottom <= height + rounded)
        in_order = self.box != _EDGES or (left <= right and top <= bottom)
        return inside and in_order and left >= -rounded and top >= -rounded


def columns_of(path: Path, header: Sequence[str], given: Mapping[str, str | None]) -> Columns:
    """Return what the columns of a table mean; no places: the first row is no header.

    Without a column of classes all objects are of one class, if each other column has a meaning.

    Args:
        path: The table.
        header: Its first row.
        given: Role -> name of its column, as the user types it; `class`: None: all objects are of one class.

    Raises:
        TlxError: A column is missing, or the rows are not those of boxes.
    """
    places: dict[str, int] = {}
    for role, name in given.items():
        if role == "class" and name is None:
            continue
        if role not in ROLES or name not in header:
            got = f"'{role}'" if role not in ROLES else f"'{name}', of the columns {', '.join(header)}"
            expected = f"some of {', '.join(ROLES)} and names of columns"
            raise TlxError(f"dataset.columns: expected {expected}, got {legible(got)}")
        places[role] = header.index(name)
    plain = [re.sub(r"[\W_]+", "", name.lower()) for name in header]
    for role, names in (*_CALLED.items(), *((one, (one,)) for one in _POINT)):
        if role not in places and role not in given:
            place = next((plain.index(name) for name in names if name in plain), None)
            if place is not None and place not in places.values():
                places[role] = place
    form = next((role for role in _FORMS if role in given), None)
    whole = places.pop(form or _WHOLE, None)
    separate = dict(places)
    box = None if form else _box(separate, given)
    if box is None and whole is not None:  # a width and a height beside it are those of the image
        box = _FORMS[form] if form else (_WHOLE,)
    else:
        places, whole = separate, None
    missing = [role for role in ("file", "class") if role not in places]
    if missing == ["class"] and box is not None:
        unknown = [name for place, name in enumerate(header) if name and place not in (*places.values(), whole)]
        if unknown and "class" not in given:
            name = legible(unknown[-1])
            raise TlxError(
                f"{path}: expected a column of classes, got none of that name; if {name} holds them type "
                f"'dataset.columns={{class: {name}}}', for objects of one class 'dataset.columns={{class: null}}'"
            )
        missing = []
    if box is not None and not missing:
        return Columns(places, box, whole)
    if not given and len(header) == 6 and (are_numbers(header[1:5]) or not any(header[1:5])):
        return Columns({})
    missing = [role for role in NEEDED if role in missing or (role not in places and box is None)]
    raise TlxError(
        f"{path}: expected columns for {', '.join(NEEDED)} (or box_width and box_height with x1 and y1, or with "
        "x_center and y_center, or one column bbox of four numbers), got none for "
        f"{', '.join(missing)} in {legible(', '.join(header[:20]))}; name them: "
        f"'dataset.columns={{{missing[0]}: NAME}}'"
    )


def _box(places: dict[str, int], given: Mapping[str, str | None]) -> tuple[str, ...] | None:
    """Return the four roles that describe a box; None: there are not enough.

    If nothing else is the width and height of a box, columns called so are, and not those of the image.
    """
    if not places.keys().isdisjoint(_EDGES[2:]):
        return _EDGES if all(role in places for role in _EDGES) else None
    for side, own in zip(_SIDES, ("width", "height"), strict=True):
        if side not in places and own in places and own not in given:
            places[side] = places.pop(own)
    points = (_CENTRE, _EDGES[:2], _POINT) if given.keys().isdisjoint(_EDGES) else (_EDGES[:2],)
    return next(((*point, *_SIDES) for point in points if all(role in places for role in (*point, *_SIDES))), None)


def settled(
    columns: Columns, path: Path, header: Sequence[str], boxes: Sequence[tuple[Box, tuple[int, int]]], relative: bool
) -> tuple[Columns, str]:
    """Return columns whose numbers have a meaning, the only one that leaves all boxes in their images, and its words.

    Args:
        columns: The columns; those that their names explain are returned as they are, with ''.
        path: The table.
        header: Its first row.
        boxes: The four numbers of each box as written, and the size of its image in pixels; 0: not known.
        relative: Whether the numbers are fractions of the image.

    Raises:
        TlxError: Several meanings fit, or none does.
    """
    if not (columns.is_open and boxes):
        return columns, ""
    readings = _of_one_column(columns, header) if columns.whole is not None else _of_points(columns, header)
    fitting = [one for one in readings if all(one.columns.fits(box, size, relative) for box, size in boxes)]
    if len(fitting) == 1:
        return fitting[0].columns, f"{fitting[0].names} are {fitting[0].words}"
    fit = f"as {' as well as '.join(one.words for one in fitting)}" if fitting else "none of these in all images"
    typed = ", ".join(f"for {one.words} type {one.typed}" for one in fitting or readings)
    raise TlxError(
        f"dataset.columns: expected columns whose names say what the numbers of a box are, got {readings[0].names} of "
        f"{legible(path.name)}, which fit {fit}; {typed}"
    )


@dataclass(frozen=True)
class _Reading:
    """What open columns may mean: the columns, how they are called, what they then are, and what to type for that."""

    columns: Columns
    names: str
    words: str
    typed: str


def _of_points(columns: Columns, header: Sequence[str]) -> list[_Reading]:
    """Return the readings of columns `x` and `y`: corners or centres."""
    x, y, width, height = (legible(header[columns.places[role]]) for role in columns.box)
    found = []
    for point, words in ((_EDGES[:2], "upper left corners"), (_CENTRE, "centres")):
        places = dict(zip(point, (columns.places[one] for one in _POINT), strict=True))
        own = Columns({**columns.places, **places}, (*point, *_SIDES))
        typed = f"'dataset.columns={{{point[0]}: {x}, {point[1]}: {y}, box_width: {width}, box_height: {height}}}'"
        found.append(_Reading(own, f"{x} and {y}", f"{words} of boxes", typed))
    return found


def _of_one_column(columns: Columns, header: Sequence[str]) -> list[_Reading]:
    """Return the readings of four numbers in a single column."""
    assert columns.whole is not None
    name = legible(header[columns.whole])
    return [
        _Reading(
            Columns(columns.places, box, columns.whole),
            f"the numbers in {name}",
            f"{_SAID[form]} of boxes",
            f"'dataset.columns={{{form}: {name}}}'",
        )
        for form, box in _FORMS.items()
    ]


def are_numbers(values: Sequence[str]) -> bool:
    """Return whether all values are numbers."""
    try:
        return all(float(value) == float(value) for value in values)
    except ValueError:
        return False


def _value(line: Sequence[str], place: int) -> str:
    return line[place] if place < len(line) else ""
