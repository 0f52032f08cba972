"""Which files and folders below a folder belong to a set of images. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from tlx.errors import TlxError
from tlx.legible import legible

# Kept by operating systems and network storage: thumbnails, bins, what a check of the disk found.
_SYSTEMS = {
    *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found"),
    "system volume information",
}


def files_below(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """(folder, name) of files that are not hidden; a folder that links lead to twice is entered once.

    Raises:
        TlxError: A folder may not be read.
    """
    entered = set()
    for here, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not is_left_out(name))
        yield from ((here, name) for name in sorted(files) if not is_left_out(name))


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder that are not left out, sorted.

    Raises:
        TlxError: It may not be read.
    """
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_out(p.name))
    except OSError as error:
        _unreadable(error)


def descended(folder: Path) -> Path:
    """Where the content of a folder is that holds one folder of its own name, and nothing else, as archives unpack."""
    inner = folders_in(folder)
    alone = len(inner) == 1 and inner[0].name == folder.absolute().name and folders_in(inner[0])
    return descended(inner[0]) if alone else folder


def is_left_out(name: str) -> bool:
    """Whether a file or folder is none of a set's, by its name: hidden, or kept by a system."""
    return name.startswith(".") or name.lower() in _SYSTEMS


def left_out_below(folder: Path) -> Iterator[str]:
    """Names of the folders below `folder` that are left out."""
    for _, folders, _ in os.walk(folder):
        yield from (legible(name) for name in folders if is_left_out(name))
        folders[:] = [name for name in folders if not is_left_out(name)]


def _unreadable(error: OSError) -> NoReturn:
    hint = "let it be read, or move it elsewhere"
    raise TlxError(f"{error.filename}: expected a folder that may be read, got '{error.strerror}'; {hint}") from error
