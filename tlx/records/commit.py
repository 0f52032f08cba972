"""The commit of a working directory, read from git's files.

git itself is not asked: it runs programs that a repository's own configuration names (core.fsmonitor, filters), and the
repository may be somebody else's. Whether files were changed since the commit is not found out.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

MOST = 64 * 2**20  # bytes read of packed-refs
_SHORT = 4096  # bytes read of the other files, which hold a line
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"refs(/(?![.])[^\x00-\x20\x7f~^:?*\[\\/]+)+")  # no part begins with a point: none is `..`


def commit_of(directory: str | Path) -> str | None:
    """Return the hash of the commit that the repository around a directory is at.

    None outside a repository, before its first commit, and where refs are kept in another form (reftable).
    """
    inside = Path(directory).absolute()
    for folder in (inside, *inside.parents):
        own = _repository(folder / ".git")
        if own is not None:
            return _head(own)
    return None


def _repository(git: Path) -> Path | None:
    """Return the folder that `.git` is, or that it names as a file in worktrees and submodules."""
    if git.is_dir():
        return git if _line(git / "HEAD") is not None else None
    told = _line(git) or ""
    if not told.startswith("gitdir: "):
        return None
    return git.parent / told.removeprefix("gitdir: ")


def _head(own: Path) -> str | None:
    shared = _line(own / "commondir")  # of a worktree: where the repository itself lies
    places = [own] if shared is None else [own, own / shared]
    told = _line(own / "HEAD")
    for _ in range(5):  # a ref may name another one
        if told is None or _HASH.fullmatch(told):
            return told
        name = told.removeprefix("ref:").strip()
        if not told.startswith("ref:") or not _NAME.fullmatch(name):
            return None
        loose = (_line(place / name) for place in places)
        told = next((line for line in loose if line is not None), None) or _packed(places[-1] / "packed-refs", name)
    return None


def _packed(path: Path, name: str) -> str | None:
    for line in _text(path, MOST).splitlines():
        found, _, ref = line.partition(" ")
        if ref == name and _HASH.fullmatch(found):
            return found
    return None


def _line(path: Path) -> str | None:
    return next(iter(_text(path, _SHORT).splitlines()), "").rstrip() or None


def _text(path: Path, most: int) -> str:
    """The text of a regular file; empty where it cannot be read or is larger. Opening a pipe would wait for ever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            told = os.fstat(handle)
            return file.read(most).decode("utf-8") if stat.S_ISREG(told.st_mode) and told.st_size <= most else ""
    except (OSError, ValueError):
        return ""
