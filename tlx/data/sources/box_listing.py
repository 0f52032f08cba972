"""A set of images with boxes as its files describe it, before an image is opened. Only the standard library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.printable import counted, enumerated
from tlx.data.sources.box_repairs import WrittenBoxes
from tlx.data.sources.content import digest, relative_name, size_of
from tlx.data.sources.split_folders import split_of


@dataclass(frozen=True, slots=True)
class BoxedImage:
    """An image and the objects in it.

    Args:
        image: Its file.
        written: Its objects.
        split: `train`, `val` or `test`; None: the set says nothing.
        is_labelled: Whether it has a file, or a row, of labels.
    """

    image: Path
    written: WrittenBoxes
    split: str | None = None
    is_labelled: bool = True


@dataclass(frozen=True)
class BoxListing:
    """What the files of a set say.

    Args:
        root: The set's folder.
        class_names: The classes.
        images: The images with their objects.
        said: How the set was understood, in words.
        split_by: What names the splits: `folders`.
        notes: Remarks for the user, one line each.
    """

    root: Path
    class_names: list[str]
    images: list[BoxedImage]
    said: str
    split_by: str
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """What a person calls each image: its path relative to the root."""
        return [relative_name(one.image, self.root) for one in self.images]

    def content(self) -> dict[str, Any]:
        """Return a hash of the classes, and of each image: its name, size, split and objects; not of the folder."""
        start = repr(self.class_names).encode()
        entries = []
        for one, name in zip(self.images, self.names, strict=True):
            held = blake2b(repr((one.split, one.written)).encode(), digest_size=16).hexdigest()
            entries.append((f"{name}\0{held}", size_of(one.image)))
        return {"content": digest(start, entries)}


def counts(images: Sequence[BoxedImage]) -> str:
    """Return how many images show objects, how many none, and how many of these have no labels, in words."""
    usable = [one for one in images if one.written.problem is None]
    boxes = sum(len(one.written.boxes) for one in usable)
    empty = [one for one in usable if not one.written.boxes]
    bare = sum(not one.is_labelled for one in empty)
    without = f", {len(empty):,} without" + (f" ({bare:,} of them without a file of labels)" if bare else "")
    shown = len(usable) - len(empty)
    return f"{counted(boxes, 'object', 'objects')} in {counted(shown, 'image', 'images')}{without}"


def split_of_folders(files: Iterable[Path], root: Path) -> dict[Path, str | None]:
    """Return folder -> the split that its path below the root names; folders that all files share say nothing."""
    folders = {
        folder: folder.relative_to(root).parts if folder.is_relative_to(root) else folder.parts
        for folder in {file.parent for file in files}
    }
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*folders.values(), strict=False)))
    return {folder: split_of(parts[shared:]) for folder, parts in folders.items()}


def case_notes(class_names: Sequence[str]) -> list[str]:
    """Return a remark if names of classes differ in upper and lower case only."""
    lower = Counter(name.lower() for name in class_names)
    alike = [name for name in class_names if lower[name.lower()] > 1]
    return [f"classes that differ in upper and lower case only are different: {enumerated(alike)}"] if alike else []


def no_objects(
    root: Path, expected: str, files: int, problems: Sequence[str], what: tuple[str, str] = ("file", "files")
) -> TlxError:
    """Return the error for a set none of whose files names an object.

    Args:
        root: The set's folder.
        expected: What is expected, in words.
        files: How many files, or rows of a table, were read.
        problems: Why some of them cannot be used.
        what: What they are, one and several.
    """
    got = f"none in {counted(files, *what)}"
    if not problems:
        return TlxError(
            f"{root}: expected {expected}, got {got}; export the set with its boxes, or type dataset.root=FOLDER"
        )
    broken = f"{len(problems):,} of which cannot be read ({enumerated(problems, 2)})"
    return TlxError(f"{root}: expected {expected}, got {got}, {broken}; mend these {what[1]} or export the set again")
