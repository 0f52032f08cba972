"""Files of annotations in VOC's format (XML). Only the standard library.

The text is parsed without document type definitions, which is how XML includes other files and grows without limit.
"""

from __future__ import annotations

import codecs
import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tlx.base.errors import TlxError
from tlx.base.files import open_regular
from tlx.base.legible import composed, legible
from tlx.data.box_labels import Box

_MOST_BYTES = 2**24
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding=[\"']([\w.-]+)[\"']")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_KEPT = 2**17  # files whose content is remembered while they stay as they are


@dataclass(frozen=True, slots=True)
class VocFile:
    """What a file says of an image.

    Args:
        names: The class of each object.
        boxes: Left, top, right and bottom of each, as written.
        difficult: Whether each is marked as difficult.
        size: Width and height of the image in pixels; 0: not known.
        file_name: Name or path of the image.
        problem: Why the file cannot be used; None: nothing is wrong.
        oriented: Whether it has rotated boxes.
        kind: Name of the outermost element: `annotation` in VOC's format; '' if the file is broken.
    """

    names: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    difficult: tuple[bool, ...] = ()
    size: tuple[int, int] = (0, 0)
    file_name: str = ""
    problem: str | None = None
    oriented: bool = False
    kind: str = ""


def read_voc(path: Path) -> VocFile:
    """Read a file; one that has not changed is read once. What is wrong with it becomes its problem."""
    try:
        stat = os.stat(path)
    except OSError as error:
        return VocFile(problem=f"cannot read {legible(path.name)}: {error.strerror}")
    return _read(str(path), (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=_KEPT)
def _read(path: str, stamp: tuple[int, int]) -> VocFile:
    try:
        if stamp[1] > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
        with open_regular(Path(path)) as file:
            root = _parsed(file.read())
        return _content(root)
    except (OSError, ValueError, LookupError, ElementTree.ParseError, RecursionError, TlxError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        return VocFile(problem=f"cannot read {legible(os.path.basename(path))}: {legible(reason)}")


def _parsed(data: bytes) -> ElementTree.Element:
    """Parse XML that has no document type definition.

    Raises:
        ValueError, LookupError, ElementTree.ParseError: It is not such a file.
    """
    declared = _ENCODING.match(data[:200].lstrip())
    encoding = declared[1].decode("ascii") if declared else "utf-8"
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    text = data.decode(encoding)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it has a document type definition (<!DOCTYPE), which is not read: remove it")
    return ElementTree.fromstring(_DECLARATION.sub("", text, count=1))


def _content(root: ElementTree.Element) -> VocFile:
    if root.tag != "annotation":
        return VocFile(kind=str(root.tag))
    names: list[str] = []
    boxes: list[Box] = []
    difficult: list[bool] = []
    oriented, problem = False, None
    for one in root.findall("object"):
        oriented = oriented or one.find("robndbox") is not None
        name = composed((one.findtext("name") or "").strip())
        try:
            box = _box(one)
            if not name:
                raise ValueError("it has no name")
        except ValueError as error:
            problem = problem or f"object {name or len(names) + 1}: {error}"
            continue
        names.append(name)
        boxes.append(box)
        difficult.append((one.findtext("difficult") or "").strip().lower() in ("1", "true"))
    size = _side(root, "width"), _side(root, "height")
    file_name = (root.findtext("filename") or root.findtext("path") or "").strip()
    held = (tuple(names), tuple(boxes), tuple(difficult)) if problem is None else ((), (), ())
    return VocFile(*held, size, file_name, problem, oriented, "annotation")


def _side(root: ElementTree.Element, name: str) -> int:
    try:
        return max(0, int(float(root.findtext(f"size/{name}") or 0)))
    except (ValueError, OverflowError):
        return 0


def _box(one: ElementTree.Element) -> Box:
    """Return the edges of an object as written, or those of its outline.

    Raises:
        ValueError: It has none, or an edge is no number.
    """
    box = one.find("bndbox")
    if box is not None:
        left, top, right, bottom = (_number(box, edge) for edge in _EDGES)
        return left, top, right, bottom
    outline = one.find("polygon")
    if outline is None or len(outline) < 3:
        raise ValueError("it has no box (bndbox)")
    points = {part.tag: float((part.text or "").strip() or "nan") for part in outline if not len(part)}
    if points:  # x1, y1, x2, …
        across = [value for name, value in points.items() if name.startswith("x")]
        down = [value for name, value in points.items() if name.startswith("y")]
    else:  # pt with x and y
        across = [_number(point, "x") for point in outline]
        down = [_number(point, "y") for point in outline]
    if not across or not down:
        raise ValueError("its outline has no corners")
    return min(across), min(down), max(across), max(down)


def _number(box: ElementTree.Element, edge: str) -> float:
    written = (box.findtext(edge) or "").strip()
    try:
        return float(written)
    except ValueError:
        raise ValueError(f"expected a number as {edge}, got '{legible(written[:40])}'") from None
