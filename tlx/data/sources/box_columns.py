"""What the columns of a table of boxes mean, by their names and, for `x` and `y`, by their numbers. No torch here."""

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
ROLES = (*NEEDED, "width", "height", "split", "ignore", *_SIDES, *_CENTRE)
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
}
_POINT = ("x", "y")  # columns that are called so: of a corner, or of the centre
_ROUNDED = 1.0, 0.01  # by which edges may be off: pixels, or a fraction of the image


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Args:
        places: Role -> place of its column.
        box: The four roles that describe a box; `x` and `y`: a corner or the centre, see `settled`.
    """

    places: Mapping[str, int]
    box: tuple[str, ...] = _EDGES

    @property
    def is_open(self) -> bool:
        """Whether the names do not say which point of a box `x` and `y` are."""
        return self.box[:2] == _POINT

    def edges(self, numbers: Sequence[float]) -> Box:
        """Return left, top, right and bottom of a box from its four numbers."""
        x, y, width, height = numbers
        if self.box == _EDGES:
            return x, y, width, height
        if self.box[:2] == _CENTRE:
            x, y = x - width / 2, y - height / 2
        return x, y, x + width, y + height


def columns_of(path: Path, header: Sequence[str], given: Mapping[str, str]) -> Columns:
    """Return what the columns of a table mean; no places: the first row is no header.

    Args:
        path: The table.
        header: Its first row.
        given: Role -> name of its column, as the user types it.

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
    for role, names in (*_CALLED.items(), *((one, (one,)) for one in _POINT)):
        if role not in places:
            place = next((plain.index(name) for name in names if name in plain), None)
            if place is not None and place not in places.values():
                places[role] = place
    box = _box(places, given)
    missing = [role for role in ("file", "class") if role not in places]
    if box is not None and not missing:
        return Columns(places, box)
    if not given and len(header) == 6 and (are_numbers(header[1:5]) or not any(header[1:5])):
        return Columns({})
    missing = [role for role in NEEDED if role in missing or (role not in places and box is None)]
    raise TlxError(
        f"{path}: expected columns for {', '.join(NEEDED)} (or box_width and box_height with x1 and y1, or with "
        f"x_center and y_center), got none for {', '.join(missing)} in {legible(', '.join(header[:20]))}; name them: "
        f"'dataset.columns={{{missing[0]}: NAME}}'"
    )


def _box(places: dict[str, int], given: Mapping[str, str]) -> tuple[str, ...] | None:
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
) -> Columns:
    """Return columns whose `x` and `y` are a corner or the centre: whichever leaves all boxes in their images.

    Args:
        columns: The columns.
        path: The table.
        header: Its first row.
        boxes: The four numbers of each box as written, and the size of its image in pixels; 0: not known.
        relative: Whether the numbers are fractions of the image.

    Raises:
        TlxError: Both fit, or none does.
    """
    if not columns.is_open:
        return columns
    fitting = []
    for point in (_EDGES[:2], _CENTRE):
        found = Columns(
            {**columns.places, **dict(zip(point, (columns.places[one] for one in _POINT), strict=True))},
            (*point, *_SIDES),
        )
        if all(_fits(found.edges(numbers), size, relative) for numbers, size in boxes):
            fitting.append(found)
    if len(fitting) == 1:
        return fitting[0]
    x, y, width, height = (legible(header[columns.places[role]]) for role in columns.box)
    sides = f"box_width: {width}, box_height: {height}"
    fit = "as well as centres" if fitting else "nor as centres, in all images"
    raise TlxError(
        f"dataset.columns: expected columns whose names say which point of a box they are, got {x} and {y} of "
        f"{legible(path.name)}, which fit {'as corners' if fitting else 'neither as corners'} {fit}; "
        f"for upper left corners type 'dataset.columns={{x1: {x}, y1: {y}, {sides}}}', "
        f"for centres 'dataset.columns={{x_center: {x}, y_center: {y}, {sides}}}'"
    )


def _fits(box: Box, size: tuple[int, int], relative: bool) -> bool:
    rounded = _ROUNDED[relative]
    width, height = (1, 1) if relative else size
    left, top, right, bottom = box
    inside = 0 in (width, height) or (right <= width + rounded and bottom <= height + rounded)
    return inside and left >= -rounded and top >= -rounded


def are_numbers(values: Sequence[str]) -> bool:
    """Return whether all values are numbers."""
    try:
        return all(float(value) == float(value) for value in values)
    except ValueError:
        return False
