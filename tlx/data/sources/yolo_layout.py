"""Where the images of a YOLO set, their text files and what names its classes are. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import counted
from tlx.data.files.image_files import EXTENSIONS
from tlx.data.files.walk import files_below
from tlx.data.sources.box_listing import split_of_folders
from tlx.data.sources.file_index import FileIndex
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.official_splits import official
from tlx.data.sources.split_folders import SPLIT_NAMES, split_below
from tlx.data.sources.split_lists import read_lists
from tlx.data.sources.yolo_data import NAME_FILES, YoloData, find_data
from tlx.data.sources.yolo_file import holds_labels
from tlx.data.sources.yolo_splits import splits_of

_OTHERS = (*(name for name in NAME_FILES if name.endswith(".txt")), *(f"{name}.txt" for name in SPLIT_NAMES))


@dataclass(frozen=True, slots=True)
class YoloImage:
    """An image, its file of labels and its split; None: there is none."""

    image: Path
    labels: Path | None
    split: str | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether it has a file of labels."""
        return self.labels is not None


@dataclass(frozen=True)
class YoloLayout:
    """The files of a set.

    Args:
        root: The set's folder.
        images: The images with their files of labels.
        data: The YAML file of the set, if it has one.
        names: A file of class names, if there is no YAML file that has them.
        said: How the set was understood, in words.
        split_by: What names the splits.
        notes: Remarks for the user, one line each.
    """

    root: Path
    images: list[YoloImage]
    data: YoloData | None
    names: Path | None
    said: str
    split_by: str
    notes: tuple[str, ...]


def read_layout(root: Path, data: str | None) -> YoloLayout:
    """Find the files of a set.

    Args:
        root: The set's folder.
        data: The YAML file, see `tlx.data.sources.yolo_data.find_data`.

    Raises:
        TlxError: There are no images, or none of them has labels.
    """
    images, texts, yamls, names = [], [], [], []
    for here, name in files_below(root):
        lower = name.lower()
        suffix = os.path.splitext(lower)[1]
        if suffix in EXTENSIONS:
            images.append(Path(here, name))
        elif suffix == ".txt" and _holds_labels(Path(here, name)):
            texts.append(Path(here, name))
        elif suffix in (".yaml", ".yml"):
            yamls.append(Path(here, name))
        elif lower in NAME_FILES or suffix == ".names" or lower == "notes.json":
            names.append(Path(here, name))
    held = find_data(yamls, root, data)
    placed, notes = splits_of(held, root, images) if held is not None else ([], [])
    pool = list(dict.fromkeys([*images, *(image for image, _ in placed)]))
    labels = _labels(pool, texts, root)
    if not labels:
        got = f"{counted(len(images), 'image', 'images')}, none of them with a text file of the same name"
        raise TlxError(f"{root}: expected images and labels such as images/1.jpg and labels/1.txt, got {got}")
    lists = {} if placed else read_lists(root, images)
    split_by = f"{legible(held.file.name)}" if placed and held is not None else "lists" if lists else "folders"
    if not placed:
        placed, more = _by_folders(images, labels, lists, root)
        notes += more
    elif others := sorted(labels.keys() - {image for image, _ in placed}, key=str):
        count = counted(len(others), "image", "images")
        notes.append(f"left out, {count} with labels in no split of {split_by}: {names_of(others, root)}")
    made = [YoloImage(image, labels.get(image), part) for image, part in sorted(placed, key=lambda one: str(one[0]))]
    found, more = official(made, lists, root, "labels")
    name_file = None if held is not None and held.names is not None else _name_file(names)
    source = held.file if held is not None and held.names is not None else name_file
    said = "text files of labels" + (f", classes of {legible(source.name)}" if source is not None else "")
    return YoloLayout(root, found, held, name_file, said, split_by, (*notes, *more))


def _holds_labels(text: Path) -> bool:
    """Return whether a text file is one of labels; the content decides where it has the name of another file."""
    name = text.name.lower()
    return (name not in _OTHERS and not name.startswith("readme")) or holds_labels(text)


def _name_file(files: Sequence[Path]) -> Path | None:
    """The file of names: the uppermost; Label Studio's notes only if there is no other."""
    return min(files, key=lambda file: (file.suffix == ".json", len(file.parts), str(file)), default=None)


def _labels(images: Sequence[Path], texts: Sequence[Path], root: Path) -> dict[Path, Path]:
    """Return each image with its file of labels; an image without one is left out.

    A file in a folder that does not correspond (`labels/1.txt` of `images/train/1.jpg`) belongs to an image if no other
    image has it, and their folders do not name different splits.
    """
    index = FileIndex(texts, root)
    found = {image: text for image in images if (text := index.beside(image)) is not None}
    used = set(found.values())
    for image in images:
        text = None if image in found else index.of_file(image)
        if text is None or text in used:
            continue
        parts = {split_below(root, image.parent), split_below(root, text.parent)} - {None}
        if len(parts) < 2:
            found[image] = text
    return found


def _by_folders(
    images: Sequence[Path], labels: Iterable[Path], lists: dict[str, tuple[Path, set[str]]], root: Path
) -> tuple[list[tuple[Path, str | None]], list[str]]:
    """Return the images with the splits of their folders; those in folders without labels are left out."""
    used = {image.parent for image in labels}
    listed = {stem for _, stems in lists.values() for stem in stems}
    own = [image for image in images if image.parent in used or image.stem.lower() in listed]
    notes = []
    if len(own) < len(images):
        others = sorted({*images} - {*own}, key=str)
        count = counted(len(others), "image", "images")
        notes.append(f"left out, {count} in folders without labels: {names_of(others, root)}")
    splits = split_of_folders(own, root)
    return [(image, splits[image.parent]) for image in own], notes
