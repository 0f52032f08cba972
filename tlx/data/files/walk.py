"""Which files and folders below a folder belong to a set of images. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible

# Kept by operating systems and network storage: thumbnails, bins, what a check of the disk found.
_SYSTEMS = {
    *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found"),
    "system volume information",
}
# Folders that were passed over, in the order in which they were met; None: one that may not be read is an error.
_passed_over: ContextVar[dict[str, None] | None] = ContextVar("passed_over", default=None)


@contextmanager
def passing_over(wanted: bool) -> Iterator[dict[str, None]]:
    """Inside, folders that may not be read are passed over, where that is wanted (`on_bad=skip`); yield which ones."""
    met: dict[str, None] = {}
    token = _passed_over.set(met if wanted else None)
    try:
        yield met
    finally:
        _passed_over.reset(token)


def files_below(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """(folder, name) of files that are not hidden; a folder that links lead to twice is entered once.

    Raises:
        TlxError: A folder may not be read, outside `passing_over`.
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
        TlxError: It may not be read, outside `passing_over`.
    """
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_out(p.name))
    except OSError as error:
        _unreadable(error)
        return []


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


def _unreadable(error: OSError) -> None:
    if (met := _passed_over.get()) is not None:
        met[str(error.filename)] = None
        return
    hint = "let it be read, move it elsewhere, or pass it over: on_bad=skip"
    raise TlxError(f"{error.filename}: expected a folder that may be read, got '{error.strerror}'; {hint}") from error
