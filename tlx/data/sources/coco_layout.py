"""Where the annotations of a set in COCO's format are, and its images. Only the standard library."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError, closest
from tlx.base.legible import legible
from tlx.base.printable import enumerated
from tlx.data.files.image_files import EXTENSIONS
from tlx.data.files.walk import descended, files_below
from tlx.data.sources.coco_file import CocoFile
from tlx.data.sources.file_index import FileIndex
from tlx.data.sources.mask_names import said_by
from tlx.data.sources.set_folder import set_folder
from tlx.data.sources.split_folders import part_called, split_below

_OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
_LOOKED_AT = 50  # images, to find their folder
_CALLED = ("instances", "_annotations.coco", "annotations", "coco", "train", "val", "test", "result", "labels")


@dataclass(frozen=True)
class CocoPart:
    """Annotations of one split.

    Args:
        file: The file of annotations.
        split: `train`, `val` or `test`; None: its name does not say.
    """

    file: Path
    split: str | None


def find_parts(root: Path, annotations: str | Sequence[str] | None = None) -> list[CocoPart]:
    """Return the files of annotations, one a split.

    Args:
        root: The set's folder.
        annotations: The files, relative to `root` or absolute; None: those below `root` whose names fit.

    Raises:
        TlxError: There are none, or two for one split.
    """
    folder = set_folder(root, "images and annotations")
    if annotations is not None:
        files = [
            folder / Path(name).expanduser()
            for name in ([annotations] if isinstance(annotations, str) else annotations)
        ]
        if missing := [file for file in files if not file.is_file()]:
            near = closest(missing[0].name, [name for _, name in files_below(folder) if name.endswith(".json")])
            hint = f"; did you mean '{near}'?" if near else ""
            raise TlxError(f"dataset.annotations: expected a file of annotations, got {missing[0]}, not there{hint}")
    else:
        files = _called(folder)
    if not files:
        raise TlxError(
            f"{root}: expected annotations such as annotations/instances_train.json, got none; "
            "name them: dataset.annotations=FILE"
        )
    parts = [CocoPart(file, _split(file, folder)) for file in files]
    if len(parts) == 1:
        parts = [CocoPart(parts[0].file, None)]
    splits = [part.split for part in parts]
    twice = next((part for part in parts if part.split is None or splits.count(part.split) > 1), None)
    if len(parts) > 1 and (twice or "train" not in splits):
        names = enumerated(
            [
                legible(part.file.relative_to(folder) if part.file.is_relative_to(folder) else part.file)
                for part in parts
            ],
            5,
        )
        raise TlxError(
            f"{root}: expected one file of annotations, or one each for train, val and test, got {names}; "
            "say which: dataset.annotations=[FILE,FILE]"
        )
    return parts


def _called(folder: Path) -> list[Path]:
    found = [Path(here, name) for here, name in files_below(folder) if name.lower().endswith(".json")]
    fit = [file for file in found if any(word in file.name.lower() for word in _CALLED)] or (
        found if len(found) == 1 else []
    )
    fit = [file for file in fit if not file.name.lower().startswith(_OTHER_TASKS)]
    instances = [file for file in fit if file.name.lower().startswith("instances")]
    return sorted(instances or fit)


def _split(file: Path, folder: Path) -> str | None:
    return part_called(file.stem) or split_below(folder, file.parent)


def image_files(root: Path, file: Path, held: CocoFile) -> list[Path]:
    """Return the path of each image; of one that is not there, where it was looked for first.

    Its folder may differ, and, if no file has its name, upper and lower case and the extension. A file in the folder of
    another split is not meant, see `tlx.data.sources.file_index.FileIndex.of_split`.
    """
    folder = descended(root)
    word = file.stem.rpartition("_")[2]  # instances_train2017
    places = [file.parent, folder, folder / "images", folder / word, folder / "images" / word, folder / "JPEGImages"]
    some = [image.file_name for image in held.images[:_LOOKED_AT]]
    best = max(places, key=lambda place: sum((place / name).is_file() for name in some))
    split = _split(file, folder)
    by_name: dict[str, list[Path]] | None = None
    found = []
    for image in held.images:
        path = best / image.file_name
        if not path.is_file():
            if by_name is None:
                by_name = _by_name(folder)
                index = FileIndex([one for files in by_name.values() for one in files], folder)
                photographs = FileIndex(_photographs(by_name, folder), folder)
            written = image.file_name.replace("\\", "/")
            folders, _, name = written.rpartition("/")
            same = index.of_split(by_name.get(name, ()), split, folders.lower().split("/"))
            same = [one for one in same if str(one).replace("\\", "/").endswith(written)] or same
            if not same:
                alike = photographs.called(written, file.parent, split)
                same = [] if alike is None else [alike]
            path = same[0] if len(same) == 1 else path
        found.append(path)
    return found


def _photographs(by_name: Mapping[str, Sequence[Path]], folder: Path) -> list[Path]:
    """Return the files that are not in a folder of masks: those may have the names of images."""
    files = (file for files in by_name.values() for file in files)
    roles = ("mask", "other")
    return [file for file in files if not any(said_by(p)[0] in roles for p in file.relative_to(folder).parts[:-1])]


def _by_name(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for here, name in files_below(folder):
        if os.path.splitext(name)[1].lower() in EXTENSIONS:
            found[name].append(Path(here, name))
    return found
