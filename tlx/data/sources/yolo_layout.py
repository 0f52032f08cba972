"""Where the images of a YOLO set, their text files and what names its classes are. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import counted, enumerated
from tlx.data.files.image_files import EXTENSIONS, images_below
from tlx.data.files.walk import files_below
from tlx.data.sources.box_listing import split_of_folders
from tlx.data.sources.file_index import FileIndex
from tlx.data.sources.layout import SPLIT_NAMES
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.official_splits import official
from tlx.data.sources.split_folders import part_called
from tlx.data.sources.split_lists import read_lists
from tlx.data.sources.yolo_data import NAME_FILES, YoloData, find_data

_NO_LABELS = ("classes.txt", "predefined_classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
_MOST_BYTES = 2**26


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
        elif suffix in (".yaml", ".yml"):
            yamls.append(Path(here, name))
        elif lower in NAME_FILES or suffix == ".names" or lower == "notes.json":
            names.append(Path(here, name))
        elif suffix == ".txt" and not lower.startswith("readme"):
            texts.append(Path(here, name))
    held = find_data(yamls, root, data)
    placed, notes = _by_data(held, root, images) if held is not None else ([], [])
    pool = list(dict.fromkeys([*images, *(image for image, _ in placed)]))
    labels = _labels(pool, [text for text in texts if text.name.lower() not in _NO_LABELS], root)
    if not labels:
        got = f"{counted(len(images), 'image', 'images')}, none of them with a text file of the same name"
        raise TlxError(f"{root}: expected images and labels such as images/1.jpg and labels/1.txt, got {got}")
    lists = {} if placed else read_lists(root, images)
    split_by = f"{legible(held.file.name)}" if placed and held is not None else "lists" if lists else "folders"
    if not placed:
        placed, told = _by_folders(images, labels, lists, root)
        notes += told
    elif others := sorted(labels.keys() - {image for image, _ in placed}, key=str):
        count = counted(len(others), "image", "images")
        notes.append(f"left out, {count} with labels in no split of {split_by}: {names_of(others, root)}")
    made = [YoloImage(image, labels.get(image), part) for image, part in sorted(placed, key=lambda one: str(one[0]))]
    found, told = official(made, lists, root, "labels")
    name_file = None if held is not None and held.names is not None else _name_file(names)
    source = held.file if held is not None and held.names is not None else name_file
    said = "text files of labels" + (f", classes of {legible(source.name)}" if source is not None else "")
    return YoloLayout(root, found, held, name_file, said, split_by, (*notes, *told))


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
        parts = {_split_of(image.parent, root), _split_of(text.parent, root)} - {None}
        if len(parts) < 2:
            found[image] = text
    return found


def _split_of(folder: Path, root: Path) -> str | None:
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    return next((part for name in reversed(parts) if (part := part_called(name))), None)


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


def _by_data(data: YoloData, root: Path, images: Sequence[Path]) -> tuple[list[tuple[Path, str | None]], list[str]]:
    """Return the images of the splits that a YAML file names, and remarks; none if its train is not there."""
    index = FileIndex(images, root)
    found: dict[str, dict[Path, None]] = {}
    notes: list[str] = []
    for part, entries in data.splits:
        own: dict[Path, None] = {}
        for entry in entries:
            place = _place(entry, data, root)
            if place is None:
                notes.append(f"{legible(data.file.name)} names {part}: {legible(entry)}, which is not there")
            elif place.is_dir():
                own |= dict.fromkeys(images_below(place))
            else:
                listed, missing = _listed(place, index)
                own |= dict.fromkeys(listed)
                if missing:
                    what = f"left out, images that {legible(place.name)} names and that are not there"
                    notes.append(f"{what}: {len(missing):,}: {enumerated(missing, 3)}")
        if own:
            found[part] = own
    if "train" not in found:
        return [], notes
    for part in ("val", "test"):
        if part in found and found[part].keys() <= found["train"].keys():
            notes.append(f"the images of {part} are images of train: {part} is carved or left out")
            del found[part]
    return [(image, part) for part, own in found.items() for image in own], notes


def _place(entry: str, data: YoloData, root: Path) -> Path | None:
    """Return the folder or the list that a YAML file means; None: it is not there.

    `../train/images` and `/content/set/train/images` mean `train/images` in the set, if that exists, and `val` may be
    called `valid`; folders whose name is that of a split are never passed over.
    """
    whole = Path(data.base.replace("\\", "/"), entry.replace("\\", "/"))
    parts = [part for part in whole.parts if part not in ("..", ".", os.sep) and not part.endswith(":")]
    folders = [*dict.fromkeys((data.file.parent, root))]
    for names in (parts, *_other_names(parts)):
        for start in range(len(names)):
            if any(part_called(part) for part in names[:start]) and not part_called(names[start]):
                continue
            for folder in folders:
                if (place := folder.joinpath(*names[start:])).exists():
                    return place
    outside = data.file.parent / whole.expanduser()
    return outside if outside.exists() else None


def _other_names(parts: Sequence[str]) -> Iterator[list[str]]:
    """Yield a path with other names of the same split: `valid` for `val`."""
    for place, part in enumerate(parts):
        for name, split in SPLIT_NAMES.items():
            if SPLIT_NAMES.get(part.lower()) == split and name != part:
                yield [*parts[:place], name, *parts[place + 1 :]]


def _listed(file: Path, index: FileIndex) -> tuple[list[Path], list[str]]:
    """Return the images that a list names, and the names of those that are not there."""
    found, missing = [], []
    if file.stat().st_size > _MOST_BYTES:
        raise TlxError(f"{file}: expected a list of images, got a file of more than {_MOST_BYTES >> 20} MiB")
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name = line.strip()
        if not name:
            continue
        image = index.called(name, file.parent)
        if image is None and Path(name).is_absolute() and Path(name).is_file():
            image = Path(name)
        if image is None:
            missing.append(legible(name))
        else:
            found.append(image)
    return found, missing
