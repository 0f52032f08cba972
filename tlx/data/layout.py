"""How a folder of images is laid out on disk: its splits, its classes, its files. Only the standard library."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlx.base.errors import TlxError, closest, did_you_mean
from tlx.base.legible import composed, legible
from tlx.data.findings import enumerated
from tlx.data.split_folders import Splits, lookalikes, named_splits
from tlx.data.walk import descended, files_below, folders_in, is_left_out

# What torchvision's ImageFolder accepts, and formats that hold one still picture as well. No .gif: in labelled folders
# they are mostly animations and placeholders ("image not found"), and ImageFolder, with which counts are compared,
# leaves them out too. DICOM files without an extension are left out as well: README and DICOMDIR have none either.
DICOM = {".dcm", ".dicom"}
INSTALL_DICOM = "pip install 'tlx[dicom]'"
PILLOWS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".bmp", ".dib", ".tif", ".tiff"),
    *(".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
}
EXTENSIONS = PILLOWS | DICOM

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

Classes = dict[str, list[Path]]  # class name -> its folders: several where one name has two Unicode forms, or in folds


@dataclass(frozen=True)
class Layout:
    """Where the classes of each split lie.

    Args:
        splits: train, and those of val and test that need not be carved from it: the folders that hold class folders.
        classes: Of each of these splits.
        class_names: Those of train, sorted by name.
        notes: What a person should be told of it, a line each.
    """

    splits: dict[str, list[Path]]
    classes: dict[str, Classes]
    class_names: list[str]
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> list[Path]:
        """All folders of classes."""
        return [place for classes in self.classes.values() for folders in classes.values() for place in folders]


def read_layout(root: str | os.PathLike[str], splits: Splits | None = None) -> Layout:
    """Find out how `root` is laid out, without opening an image.

    Either `root` has a folder `train` and at least one of `val` and `test` (also Training, valid, validation, Testing;
    case does not matter), each with one folder a class; or it has one folder a class itself. A tree with only train and
    val keeps val as its test split. Classes are the folders that hold at least one image at any depth, sorted by name.
    A folder that holds nothing but a folder of its own name, as archives unpack, stands for that one.

    Args:
        root: The folder; `~` is expanded.
        splits: The folders of the splits, where they have other names; `.` is `root` itself.

    Raises:
        TlxError: `root` is no folder or may not be read, holds no class folders, its splits contradict one another,
            or its classes look like splits.
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
        raise TlxError(f"{root}: expected a folder 'train' beside {have}, or one folder a class, got neither")
    # a class that happens to be called `train`, among vehicles for example
    if "train" not in found or (len(found) == 1 and others):
        layout = _layout({"train": [root]})
        return replace(layout, notes=tuple(lookalikes(root, layout.classes["train"])))
    layout = _layout({part: [folder] for part, folder in found.items()})
    beside = [legible(folder.name) for folder in others if any(_images(folder))]
    if not beside:
        return layout
    return replace(layout, notes=(f"left out, beside the folders of the splits: {enumerated(beside)}",))


def _layout(splits: dict[str, list[Path]]) -> Layout:
    classes = {part: _classes(folders) for part, folders in splits.items()}
    class_names = sorted(classes["train"])
    for part, own in classes.items():
        for extra in sorted(set(own) - set(class_names)):
            hint = did_you_mean(extra, class_names)
            told = f"{splits[part][0]}: class '{extra}' is in {part} but not in {splits['train'][0]}; {hint}"
            raise TlxError(told.rstrip("; "))
    if "test" not in splits and "val" in splits:
        splits["test"], classes["test"] = splits.pop("val"), classes.pop("val")
    return Layout(splits, classes, class_names)


def folders_without_images(layout: Layout) -> list[Path]:
    """Folders where classes lie that hold no image, and so are no class, or not in that split; sorted."""
    folders = (folder for places in layout.splits.values() for place in places for folder in folders_in(place))
    return sorted(folder for folder in folders if not any(_images(folder)))


def images_below(folder: Path) -> list[Path]:
    """Image files below `folder` at any depth, sorted; hidden files and folders are left out, links are followed."""
    return sorted(_images(folder))


def ignored_below(folder: Path) -> list[Path]:
    """Files below `folder` that are neither hidden nor images by their extension, sorted."""
    return sorted(p for p in _files_below(folder) if p.suffix.lower() not in EXTENSIONS)


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders (all images below them) and glob patterns into image files, in the order given.

    A file that is named itself is taken whatever its extension.

    Raises:
        TlxError: An entry does not exist, or brings no image.
    """
    found: list[Path] = []
    for entry in paths:
        path = Path(entry).expanduser()
        if path.is_dir():
            images = images_below(path)
        elif path.exists():
            images = [path]
        else:
            matches = (Path(m) for m in sorted(glob.glob(str(path), recursive=True)))
            matching = [p for p in matches if p.is_file() and p.suffix.lower() in EXTENSIONS]
            # A thumbnail below `@eaDir` is no image unless that is what was typed.
            images = [p for p in matching if not any(is_left_out(part) for part in {*p.parts} - {*path.parts})]
        if not images:
            raise TlxError(f"expected an image, a folder of images or a pattern that matches some, got '{entry}'")
        found += images
    return found


def why_no_folder(path: Path) -> str:
    """Why `path` is no folder, with the existing folder that is nearest to its first missing part."""
    if path.exists():
        return "is a file"
    missing = path.absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    near = closest(missing.name, (p.name for p in folders_in(missing.parent)))
    return f"does not exist; did you mean '{missing.parent / near}'?" if near else "does not exist"


def closest_file(path: Path) -> str:
    """A hint at the file beside a missing one whose name is nearest, or ''."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"{folder} {why_no_folder(folder)}"
    near = closest(path.name, (p.name for p in folder.iterdir() if p.is_file()))
    return f"did you mean '{folder / near}'?" if near else ""


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


def _classes(folders: Sequence[Path]) -> Classes:
    found: Classes = {}
    for path in (path for folder in folders for path in folders_in(folder) if any(_images(path))):
        found.setdefault(composed(path.name), []).append(path)
    if found:
        return found
    folder = folders[0]
    loose = any(_images(folder))
    got = "images that lie in no class folder" if loose else "no folder with an image in it"
    if not loose and any(not p.suffix for p in _files_below(folder)):
        got += "; files without an extension are taken from a table only: dataset=table, or add .dcm to DICOM files"
    raise TlxError(f"{folder}: expected one folder of images a class (such as {folder.name}/cat/1.jpg), got {got}")


def _images(folder: Path) -> Iterator[Path]:
    return (p for p in _files_below(folder) if p.suffix.lower() in EXTENSIONS)


def _files_below(folder: Path) -> Iterator[Path]:
    return (Path(here, name) for here, name in files_below(folder))
