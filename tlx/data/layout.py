"""How a folder of images is laid out on disk: its splits, its classes, its files. Only the standard library."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tlx.errors import TlxError, closest, did_you_mean

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


@dataclass(frozen=True)
class Layout:
    """Where the classes of each split lie. `val` and `test` are None where they have to be carved from `train`."""

    train: Path
    val: Path | None
    test: Path | None
    class_names: list[str]

    @property
    def splits(self) -> dict[str, Path]:
        """The splits that have a folder of their own."""
        found = {"train": self.train, "val": self.val, "test": self.test}
        return {name: path for name, path in found.items() if path is not None}


def read_layout(root: str | os.PathLike[str]) -> Layout:
    """Find out how `root` is laid out, without opening an image.

    Either `root` has a folder `train` and at least one of `val` and `test` (also Training, valid, validation, Testing;
    case does not matter), each with one folder a class; or it has one folder a class itself. A tree with only train and
    val keeps val as its test split. Classes are the folders that hold at least one image at any depth, sorted by name.

    Raises:
        TlxError: `root` is no folder, holds no class folders, or its splits contradict one another.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise TlxError(f"expected a folder of images, got {root}, which {why_no_folder(root)}")
    splits = _split_folders(root)
    if "train" not in splits:
        if splits and set(splits.values()) == set(_folders(root)):
            have = ", ".join(sorted(p.name for p in splits.values()))
            raise TlxError(f"{root}: expected a folder 'train' beside {have}, or one folder a class, got neither")
        return Layout(root, None, None, _class_names(root))
    if len(splits) == 1:
        others = [p for p in _folders(root) if p != splits["train"]]
        if others:  # a class that happens to be called `train`, among vehicles for example
            return Layout(root, None, None, _class_names(root))
    class_names = _class_names(splits["train"])
    for name, path in splits.items():
        for extra in sorted(set(_class_names(path)) - set(class_names)):
            hint = did_you_mean(extra, class_names)
            raise TlxError(f"{path}: class '{extra}' is in {name} but not in {splits['train']}; {hint}".rstrip("; "))
    if "test" not in splits:
        return Layout(splits["train"], None, splits.get("val"), class_names)
    return Layout(splits["train"], splits.get("val"), splits["test"], class_names)


def folders_without_images(layout: Layout) -> list[Path]:
    """Folders where classes lie that hold no image, and so are no class, or not in that split; sorted."""
    places = (folder for place in layout.splits.values() for folder in _folders(place))
    return sorted(folder for folder in places if not any(p.suffix.lower() in EXTENSIONS for p in _files_below(folder)))


def images_below(folder: Path) -> list[Path]:
    """Image files below `folder` at any depth, sorted; hidden files and folders are left out, links are followed."""
    return sorted(p for p in _files_below(folder) if p.suffix.lower() in EXTENSIONS)


def ignored_below(folder: Path) -> list[Path]:
    """Files below `folder` that are neither hidden nor images by their extension, sorted."""
    return sorted(p for p in _files_below(folder) if p.suffix.lower() not in EXTENSIONS)


def files_below(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """(folder, name) of files that are not hidden; a folder that links lead to twice is entered once."""
    entered = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        yield from ((here, name) for name in sorted(files) if not _hidden(name))


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
            images = [p for p in matches if p.is_file() and p.suffix.lower() in EXTENSIONS]
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
    near = closest(missing.name, (p.name for p in _folders(missing.parent)))
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
    for path in _folders(root):
        name = SPLIT_NAMES.get(path.name.lower())
        if name is None:
            continue
        if name in splits:
            raise TlxError(f"{root}: expected one folder for the {name} split, got {splits[name].name} and {path.name}")
        splits[name] = path
    return splits


def _class_names(folder: Path) -> list[str]:
    names = [path.name for path in _folders(folder) if any(p.suffix.lower() in EXTENSIONS for p in _files_below(path))]
    if not names:
        loose = any(p.suffix.lower() in EXTENSIONS for p in folder.iterdir() if p.is_file())
        got = "images that lie in no class folder" if loose else "no folder with an image in it"
        if not loose and any(not p.suffix for p in _files_below(folder)):
            got += "; files without an extension are taken from a table only: dataset=table, or add .dcm to DICOM files"
        raise TlxError(f"{folder}: expected one folder of images a class (such as {folder.name}/cat/1.jpg), got {got}")
    return names


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not _hidden(p.name))


def _files_below(folder: Path) -> Iterator[Path]:
    return (Path(here, name) for here, name in files_below(folder))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
