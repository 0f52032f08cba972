"""List the files and folders below a folder that belong to a set of images. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible

# Created by operating systems and network storage: thumbnails, recycle bins, results of disk checks.
_SYSTEMS = {
    *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found"),
    "system volume information",
}
# Unreadable folders that were skipped, in the order found; None: an unreadable folder is an error.
_skipped: ContextVar[dict[str, None] | None] = ContextVar("skipped", default=None)


@contextmanager
def skipping_unreadable(wanted: bool) -> Iterator[dict[str, None]]:
    """Inside, skip unreadable folders if `wanted` (`on_bad=skip`); yield the folders skipped so far."""
    skipped: dict[str, None] = {}
    token = _skipped.set(skipped if wanted else None)
    try:
        yield skipped
    finally:
        _skipped.reset(token)


def files_below(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yield (folder, name) of all files that are not hidden; each folder is entered once, even if links lead to it.

    Raises:
        TlxError: A folder is unreadable, outside `skipping_unreadable`.
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
    """Return the folders in a folder, sorted, without hidden and system folders.

    Raises:
        TlxError: The folder is unreadable, outside `skipping_unreadable`.
    """
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_out(p.name))
    except OSError as error:
        _unreadable(error)
        return []


def descended(folder: Path) -> Path:
    """Return the inner folder if a folder contains only a folder of its own name, as unpacked archives do."""
    inner = folders_in(folder)
    alone = len(inner) == 1 and inner[0].name == folder.absolute().name and folders_in(inner[0])
    return descended(inner[0]) if alone else folder


def is_left_out(name: str) -> bool:
    """Return whether a file or folder is ignored because it is hidden or belongs to the system."""
    return name.startswith(".") or name.lower() in _SYSTEMS


def left_out_below(folder: Path) -> Iterator[str]:
    """Yield the names of the folders below `folder` that are ignored."""
    for _, folders, _ in os.walk(folder):
        yield from (legible(name) for name in folders if is_left_out(name))
        folders[:] = [name for name in folders if not is_left_out(name)]


def _unreadable(error: OSError) -> None:
    if (skipped := _skipped.get()) is not None:
        skipped[str(error.filename)] = None
        return
    hint = "make it readable, move it elsewhere, or skip it: on_bad=skip"
    raise TlxError(f"{error.filename}: expected a readable folder, got '{error.strerror}'; {hint}") from error
