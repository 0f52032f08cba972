"""The splits that the YAML file of a YOLO set names: folders, lists of images or images. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import enumerated
from tlx.data.files.image_files import EXTENSIONS, images_below
from tlx.data.sources.file_index import FileIndex
from tlx.data.sources.overlap import apart
from tlx.data.sources.split_folders import SPLIT_NAMES, part_called
from tlx.data.sources.yolo_data import YoloData

_MOST_BYTES = 2**26


def splits_of(data: YoloData, root: Path, images: Sequence[Path]) -> tuple[list[tuple[Path, str | None]], list[str]]:
    """Return the images of the splits that a YAML file names, and remarks; none if its train is not there.

    Args:
        data: The file.
        root: The set's folder.
        images: The images below it.
    """
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
            elif place.suffix.lower() in EXTENSIONS:
                own[place] = None
            elif place.suffix.lower() != ".txt":
                what = "which is neither a folder, nor a list of images (.txt), nor an image"
                notes.append(f"{legible(data.file.name)} names {part}: {legible(entry)}, {what}")
            else:
                listed, missing = _listed(place, index, part)
                own |= dict.fromkeys(listed)
                if missing:
                    what = f"left out, images that {legible(place.name)} names and that are not there"
                    notes.append(f"{what}: {len(missing):,}: {enumerated(missing, 3)}")
        if own:
            found[part] = own
    if "train" not in found:
        return [], notes
    splits, overlaps = apart(found, root)
    return [(image, part) for part, own in splits.items() for image in own], [*notes, *overlaps]


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


def _listed(file: Path, index: FileIndex, split: str) -> tuple[list[Path], list[str]]:
    """Return the images that a list names, and the names of those that are not there."""
    found, missing = [], []
    if file.stat().st_size > _MOST_BYTES:
        raise TlxError(f"{file}: expected a list of images, got a file of more than {_MOST_BYTES >> 20} MiB")
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name = line.strip()
        if not name:
            continue
        image = index.called(name, file.parent, split)
        if image is None and Path(name).is_absolute() and Path(name).is_file():
            image = Path(name)
        if image is None:
            missing.append(legible(name))
        else:
            found.append(image)
    return found, missing
