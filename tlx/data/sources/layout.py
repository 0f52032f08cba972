"""The layout of a folder of images: its splits and classes. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlx.base.errors import TlxError, did_you_mean
from tlx.base.legible import composed, legible
from tlx.base.printable import enumerated
from tlx.data.files.image_files import some_images_below, why_no_folder
from tlx.data.files.walk import descended, files_below, folders_in
from tlx.data.sources.split_folders import SPLIT_NAMES, Splits, lookalikes, named_splits
from tlx.data.sources.wrong_level import holds_runs, level_hint, level_notes, refuse_too_high

# Class name -> its folders. There are several for folds, or if a name has two Unicode forms.
ClassFolders = dict[str, list[Path]]


@dataclass(frozen=True)
class Layout:
    """The folders of each split and class.

    Args:
        splits: Folders that contain the class folders, for train, and for val and test if they need not be carved.
        classes: Class folders of each of these splits.
        class_names: Class names of train, sorted.
        notes: Remarks for the user, one line each.
    """

    splits: dict[str, list[Path]]
    classes: dict[str, ClassFolders]
    class_names: list[str]
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> list[Path]:
        """All class folders."""
        return [place for classes in self.classes.values() for folders in classes.values() for place in folders]


def read_layout(root: str | os.PathLike[str], splits: Splits | None = None) -> Layout:
    """Determine the layout of `root` without opening an image.

    Either `root` has a folder `train` and at least one of `val` and `test` (also Training, valid, validation, Testing,
    in upper or lower case), each with one folder per class; or it has one folder per class itself. If there are only
    train and val, val becomes the test split. Classes are the folders with at least one image at any depth, sorted by
    name. A folder that contains only a folder of its own name, as unpacked archives do, is replaced by that folder.

    Args:
        root: The folder; `~` is expanded.
        splits: The folders of the splits, if they have other names; `.` is `root` itself.

    Raises:
        TlxError: `root` is not a readable folder or has no class folders, its splits contradict each other, or its
            classes look like splits.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise TlxError(f"expected a folder of images, got {root}, which {why_no_folder(root)}")
    if splits is not None:
        return _layout(named_splits(root, splits))
    root = descended(root)
    found = {part: descended(folder) for part, folder in _split_folders(root).items()}
    others = [folder for folder in folders_in(root) if folder not in _split_folders(root).values()]
    if "train" not in found and found and not others:
        have = ", ".join(sorted(p.name for p in _split_folders(root).values()))
        raise TlxError(f"{root}: expected a folder 'train' beside {have}, or one folder per class, got neither")
    # a lone `train` is a class, for example among vehicles
    if "train" not in found or (len(found) == 1 and others):
        layout = _layout({"train": [root]})
        classes = layout.classes["train"]
        refuse_too_high(root, classes)
        remarks = (*_runs_left_out(root), *lookalikes(root, classes), *level_notes(root, classes, carved=True))
        return replace(layout, notes=remarks)
    layout = _layout({part: [folder] for part, folder in found.items()})
    unused = [legible(folder.name) for folder in others if any(some_images_below(folder))]
    notes = [f"left out, not folders of splits: {enumerated(unused)}"] if unused else []
    return replace(layout, notes=(*notes, *level_notes(root, layout.classes["train"], carved=False)))


def _layout(splits: dict[str, list[Path]]) -> Layout:
    classes = {part: _classes(folders) for part, folders in splits.items()}
    class_names = sorted(classes["train"])
    for part, found in classes.items():
        for extra in sorted(set(found) - set(class_names)):
            hint = did_you_mean(extra, class_names)
            message = f"{splits[part][0]}: class '{extra}' is in {part} but not in {splits['train'][0]}; {hint}"
            raise TlxError(message.rstrip("; "))
    if "test" not in splits and "val" in splits:
        splits["test"], classes["test"] = splits.pop("val"), classes.pop("val")
    return Layout(splits, classes, class_names)


def folders_without_images(layout: Layout) -> list[Path]:
    """Return the folders without images beside class folders, sorted; they are not classes, or not in that split."""
    folders = (folder for places in layout.splits.values() for place in places for folder in folders_in(place))
    return sorted(folder for folder in folders if not any(some_images_below(folder)))


def _split_folders(root: Path) -> dict[str, Path]:
    splits: dict[str, Path] = {}
    for path in folders_in(root):
        name = SPLIT_NAMES.get(path.name.lower())
        if name is None:
            continue
        if name in splits:
            raise TlxError(f"{root}: expected one folder for the {name} split, got {splits[name].name} and {path.name}")
        splits[name] = path
    return splits


def _classes(folders: Sequence[Path]) -> ClassFolders:
    found: ClassFolders = {}
    for path in (path for folder in folders for path in folders_in(folder) if any(some_images_below(path))):
        if not holds_runs(path):
            found.setdefault(composed(path.name), []).append(path)
    if found:
        return found
    folder = folders[0]
    loose = any(some_images_below(folder))
    got = "images outside class folders" if loose else "no folder with images"
    if not loose and any(not os.path.splitext(name)[1] for _, name in files_below(folder)):
        got += "; files without an extension must be listed in a table: dataset=table, or add .dcm to DICOM files"
    got += level_hint(folder) if loose else ""
    raise TlxError(f"{folder}: expected one folder of images per class (such as {folder.name}/cat/1.jpg), got {got}")


def _runs_left_out(root: Path) -> list[str]:
    found = [legible(folder.name) for folder in folders_in(root) if holds_runs(folder)]
    return [f"left out, folders of runs and not classes: {enumerated(found)}"] if found else []
