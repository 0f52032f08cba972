"""Files of annotations in COCO's format: images, categories, and objects in images. Only the standard library."""

from __future__ import annotations

import functools
import json
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.legible import composed

_MOST_BYTES = 2**31
Runs = tuple[str | tuple[int, ...], int, int]  # lengths of runs, width and height of their mask in pixels


@dataclass(frozen=True, slots=True)
class CocoObject:
    """An object in an image.

    Args:
        category: Its name.
        area: In pixels; the smaller of two objects is on top.
        outlines: x and y of the corners of each of its parts, in turn, in pixels.
        runs: Its mask as lengths of runs, in place of outlines.
        box: Left, top, width and height in pixels; None: there is none.
        is_crowd: Whether it stands for several objects that are not annotated one by one.
    """

    category: str
    area: float
    outlines: tuple[array[float], ...] = ()
    runs: Runs | None = None
    box: tuple[float, float, float, float] | None = None
    is_crowd: bool = False

    @property
    def has_mask(self) -> bool:
        """Whether it has an outline, or runs."""
        return bool(self.outlines) or self.runs is not None


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image and the objects in it.

    Args:
        file_name: As the file says.
        width: Of the image as it was annotated, in pixels; 0: not known.
        height: Likewise.
        objects: In the order of the file.
    """

    file_name: str
    width: int
    height: int
    objects: tuple[CocoObject, ...]


@dataclass(frozen=True)
class CocoFile:
    """What a file holds.

    Args:
        categories: Their names, by ascending number.
        images: In the order of the file.
        parents: Names that are no categories, because they have no objects and only stand above others.
        unlisted: Objects of images that the file does not list: the number of objects of each such image.
    """

    categories: tuple[str, ...]
    images: tuple[CocoImage, ...]
    parents: tuple[str, ...] = ()
    unlisted: Mapping[str, int] = field(default_factory=dict)


def read_coco(path: Path) -> CocoFile:
    """Read a file of annotations; one that has not changed is read once.

    Raises:
        TlxError: It is missing, broken, or none of COCO's; the message names it.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise TlxError(f"{path}: expected annotations in COCO's format, got no such file") from error
    return _read(path, (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=3)
def _read(path: Path, stamp: tuple[int, int]) -> CocoFile:
    try:
        if stamp[1] > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 30} GiB")
        held = json.loads(path.read_bytes())
        listed = {int(one["id"]): one for one in held["categories"]}
        names = {number: composed(listed[number]["name"]) for number in sorted(listed)}
        objects: dict[Any, list[CocoObject]] = defaultdict(list)
        for one in held["annotations"]:
            objects[_key(one["image_id"])].append(_object(one, names))
        images = tuple(_image(one, objects) for one in held["images"])
        if objects and not any(image.objects for image in images):
            raise ValueError(f"objects of images that are not listed, such as image_id {next(iter(objects))}")
        used = _used(listed, names, objects)
        listed_images = {_key(one["id"]) for one in held["images"]}
        unlisted = {str(number): len(own) for number, own in objects.items() if number not in listed_images}
        return CocoFile(used, images, tuple(name for name in names.values() if name not in used), unlisted)
    except KeyError as error:
        raise TlxError(f"{path}: expected annotations in COCO's format, got none with {error}") from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise TlxError(f"{path}: expected annotations in COCO's format, got '{reason}'") from error


def _used(
    listed: Mapping[int, Any], names: Mapping[int, str], objects: Mapping[Any, Sequence[CocoObject]]
) -> tuple[str, ...]:
    """Names of categories, each once, without one that only stands above others, as Roboflow writes."""
    used = {one.category for own in objects.values() for one in own}
    above = {composed(str(one.get("supercategory"))) for one in listed.values()}
    return tuple(dict.fromkeys(name for name in names.values() if name in used or name not in above or len(names) == 1))


def _object(one: Mapping[str, Any], names: Mapping[int, str]) -> CocoObject:
    outlines, runs = _shape(one.get("segmentation"))
    box = one.get("bbox")
    left, top, width, height = (float(value) for value in box) if box else (0.0, 0.0, 0.0, 0.0)
    area = one.get("area")
    whole = float(area) if area else width * height
    number = int(one["category_id"])
    if number not in names:
        raise ValueError(f"an object of category {number}, which is not listed")
    own = (left, top, width, height) if box else None
    return CocoObject(names[number], whole, outlines, runs, own, bool(one.get("iscrowd")))


def _shape(held: Any) -> tuple[tuple[array[float], ...], Runs | None]:
    if isinstance(held, Mapping):
        height, width = (int(side) for side in held["size"])
        counts = held["counts"]
        return (), (counts if isinstance(counts, str) else tuple(int(count) for count in counts), width, height)
    parts = (part for part in held or () if len(part) >= 6 and len(part) % 2 == 0)
    return tuple(array("f", (float(value) for value in part)) for part in parts), None


def _image(one: Mapping[str, Any], objects: Mapping[Any, Sequence[CocoObject]]) -> CocoImage:
    width, height = int(one.get("width") or 0), int(one.get("height") or 0)
    return CocoImage(str(one["file_name"]), max(width, 0), max(height, 0), tuple(objects.get(_key(one["id"]), ())))


def _key(number: Any) -> Any:
    """Return what an image is found by: some programs write its number as text in one of two places."""
    return int(number) if isinstance(number, str) and number.isascii() and number.isdigit() else number
