"""The folder of a set of images, and the files below it. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from tlx.base.errors import Mistake, TlxError
from tlx.data.files.image_files import EXTENSIONS, why_no_folder
from tlx.data.files.walk import descended, files_below
from tlx.data.sources.base import Source, mistake_at


def set_folder(root: Path, content: str) -> Path:
    """Return the folder that holds a set: `root`, or the one inside it, see `tlx.data.files.walk.descended`.

    Args:
        root: The folder that the user names.
        content: What is expected in it, in words, such as `images and masks`.

    Raises:
        TlxError: There is no such folder.
    """
    if not root.is_dir():
        raise TlxError(f"expected a folder of {content}, got {root}, which {why_no_folder(root)}")
    return descended(root)


def images_and(root: Path, extensions: Collection[str]) -> tuple[list[Path], list[Path]]:
    """Return the images below a folder, and the files with one of these extensions, such as `.xml`."""
    images, others = [], []
    for here, name in files_below(root):
        extension = os.path.splitext(name)[1].lower()
        if extension in EXTENSIONS:
            images.append(Path(here, name))
        elif extension in extensions:
            others.append(Path(here, name))
    return images, others


def no_folder(source: Source) -> list[Mistake]:
    """Return a mistake if the `root` of a source is not a folder."""
    root = source.path("root")
    if root.is_dir():
        return []
    why, _, hint = why_no_folder(root).partition("; ")
    return [Mistake("dataset.root", "a folder of images", f"'{source.node['root']}', which {why}", hint)]


def names_below(source: Source) -> Iterator[str]:
    """Return the names of all files below a source's `root`."""
    return (name for _, name in files_below(source.path("root"))) if source.is_set("root") else iter(())


def unread(source: Source, read: Callable[[], object], expected: str, keys: Sequence[str]) -> list[Mistake]:
    """Return a mistake if a set cannot be read: there is no folder, or its layout or annotations are not understood.

    Args:
        source: The source; nothing is checked before its `root` is set.
        read: Reads what describes the set.
        expected: What is expected in the folder, in words.
        keys: Keys of the node that an error of `read` may be about.
    """
    if not source.is_set("root"):
        return []
    if missing := no_folder(source):
        return missing
    try:
        read()
    except TlxError as error:
        other = Mistake("dataset.root", expected, f"'{source.node['root']}'", str(error))
        return [mistake_at(error, keys, other)]
    return []
