"""Small sets of images with boxes, written as programs export them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.data.mask_trees import picture, save
from tlx.data.checked import CheckedSet, load_checked
from tlx.data.sources.base import Source

WIDTH, HEIGHT = 40, 30
Object = tuple[str, tuple[float, float, float, float]]
CELL: Object = ("cell", (4, 6, 14, 18))
NUCLEUS: Object = ("nucleus", (6, 8, 9, 12))


def node(source: str, root: Path, **keys: Any) -> dict[str, Any]:
    common = {"val_fraction": 0.2, "split_seed": 0, "check": True, "on_bad": "stop"}
    return {"_target_": f"tlx.data.{source}", "name": source, "root": str(root), **common, **keys}


def loaded(source: str, root: Path, stop: bool = True, **keys: Any) -> CheckedSet:
    return load_checked(node(source, root, **keys), stop=stop)


def image(path: Path, number: int, **how: Any) -> Path:
    """Write a picture of 40 x 30 pixels like no other."""
    return save(path, picture(number, (WIDTH, HEIGHT)), **how)


def xml(
    objects: Sequence[Object] = (CELL,),
    size: tuple[int, int] | None = (WIDTH, HEIGHT),
    filename: str = "",
    more: str = "",
) -> str:
    """Return an annotation in VOC's format; `more` follows the box of each object."""
    own = "".join(
        f"<object><name>{name}</name>{more}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for name, (left, top, right, bottom) in objects
    )
    sizes = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{sizes}{own}</annotation>"


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def yolo(objects: Sequence[tuple[int, tuple[float, float, float, float]]]) -> str:
    """Return rows of YOLO from classes and boxes in pixels."""
    rows = []
    for label, (left, top, right, bottom) in objects:
        values = ((left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT)
        rows.append((label, *values, (right - left) / WIDTH, (bottom - top) / HEIGHT))
    return "\n".join(" ".join(f"{value:.6g}" for value in row) for row in rows)


def splits(checked: CheckedSet) -> dict[str, list[str]]:
    """Return the names of the images of each split, sorted."""
    return {part: sorted(s.name for s in split.samples) for part, split in checked.images.splits.items()}


def sizes(checked: CheckedSet) -> list[int]:
    return [len(split) for split in checked.images.splits.values()]


def boxes(checked: CheckedSet, name: str) -> list[tuple[str, tuple[float, ...]]]:
    """Return the objects of the image of that name: class and rounded edges."""
    samples = (s for split in checked.images.splits.values() for s in split.samples)
    target = next(s.target for s in samples if s.name == name)
    names = [checked.images.class_names[label] for label in target.classes]
    return list(zip(names, (tuple(round(edge, 2) for edge in box) for box in target.boxes()), strict=True))


def refused(source: Source) -> str:
    """Return the only mistake of a source."""
    (mistake,) = source.own_mistakes()
    return f"{mistake.path}: expected {mistake.expected}, got {mistake.got}; {mistake.hint}"


def problems(checked: CheckedSet) -> dict[str, str]:
    """Return why images are broken, by name."""
    return {entry.sample.name: entry.reason for entry in checked.broken}
