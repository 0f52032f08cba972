"""Roots one level too high or too low, and folders that are no classes: what to type instead. No torch here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import counted, enumerated
from tlx.data.files.image_files import EXTENSIONS, some_images_below
from tlx.data.files.walk import folders_in
from tlx.data.sources.split_folders import SPLIT_NAMES

# Names that folders of results, masks and programs have; a class seldom has one.
_NO_CLASSES = {
    *("outputs", "output", "runs", "results", "predictions", "checkpoints", "lightning_logs", "tensorboard", "logs"),
    *("masks", "mask", "annotations", "labels", "segmentation", "gt", "ground_truth"),
    *("venv", "env", "node_modules", "build", "dist", "cache", "tmp", "temp", "thumbnails", "thumbs"),
}
_RECORD = "status.json"  # in the directory of each run


def holds_runs(folder: Path) -> bool:
    """Return whether a folder is a run directory of tlx, or holds some: its pictures are results."""
    return (folder / _RECORD).is_file() or any((inner / _RECORD).is_file() for inner in folders_in(folder))


def refuse_too_high(root: Path, classes: Mapping[str, Sequence[Path]]) -> None:
    """Refuse a root whose only class holds the splits or the classes.

    Raises:
        TlxError: The message says what to type.
    """
    if len(classes) != 1:
        return
    ((name, folders),) = classes.items()
    inner = {path.name: path for folder in folders for path in _with_images(folder)}
    if len(folders) != 1 or len(inner) < 2:
        return
    parts = [one for one in inner if one.lower() in SPLIT_NAMES]
    what = "the splits" if parts else "folders that look like classes"
    shown = enumerated([legible(one) for one in sorted(parts or inner)], 4)
    raise TlxError(
        f"{legible(root)}: expected at least two classes, or folders of splits, got one folder, '{name}', which "
        f"contains {what} {shown}; did you mean {_typed(folders[0])}? If '{name}' is the only class of a split, type "
        "'dataset.splits={train: .}'"
    )


def level_hint(folder: Path) -> str:
    """Return a hint at the root above a folder of images that is one class of a set; '' if there is none."""
    folder = folder.absolute()
    above = folder.parent
    classes = [path.name for path in _with_images(above) if not holds_runs(path)]
    if len(classes) < 2 or _is_split(folder):
        return ""
    if _is_split(above) and any(_is_split(path) for path in folders_in(above.parent) if path != above):
        above = above.parent
    shown = enumerated([*map(legible, classes)], 4)
    return f"; if '{legible(folder.name)}' is one of the classes {shown}: type {_typed(above)}"


def level_notes(root: Path, classes: Mapping[str, Sequence[Path]], carved: bool) -> Iterator[str]:
    """Yield remarks about a root that has class folders: other splits beside it, classes that hardly are any.

    Args:
        root: The folder that contains the classes.
        classes: The folders of each class.
        carved: Whether tlx carves the splits from this folder.
    """
    whole = root.absolute()
    if carved and _is_split(whole):
        others = (path for path in folders_in(whole.parent) if path != whole and _is_split(path))
        beside = [path.name for path in others if {inner.name for inner in folders_in(path)} & set(classes)]
        if beside:
            yield (
                f"{legible(whole.name)} is one of several splits ({enumerated(sorted(map(legible, beside)), 4)} beside "
                f"it), and new splits are carved from it alone; to use the splits there are: {_typed(whole.parent)}"
            )
    unlikely = [name for name in classes if name.lower() in _NO_CLASSES]
    if unlikely and len(unlikely) < len(classes):
        rest = ",".join(shlex.quote(name) for name in sorted(classes) if name not in unlikely)
        what = "a class is called" if len(unlikely) == 1 else "classes are called"
        yield (
            f"{what} {enumerated(sorted(unlikely), 4)}, which seldom is one; without: "
            + (f"dataset.classes=[{rest}]" if len(classes) <= 10 else "move the folder out of dataset.root")
        )


def loose_note(folders: Iterable[Path]) -> str | None:
    """Return a remark about images that lie beside class folders and belong to none; None: there are none."""
    loose = [
        path.name
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
    ]
    if not loose:
        return None
    count = counted(len(loose), "image lies", "images lie")
    return f"{count} beside the class folders and in none, left out: {enumerated([*map(legible, loose)], 4)}"


def _with_images(folder: Path) -> list[Path]:
    return [path for path in folders_in(folder) if any(some_images_below(path))]


def _is_split(folder: Path) -> bool:
    return folder.name.lower() in SPLIT_NAMES


def _typed(root: Path) -> str:
    return f"dataset.root={shlex.quote(os.fspath(root))}"
