"""Read the commit of a working directory from git's files.

git is not run: it starts programs that a repository's own configuration names (core.fsmonitor, filters), and the
repository may be somebody else's. Files that were changed since the commit are not detected.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

MOST = 64 * 2**20  # bytes read of packed-refs
_SHORT = 4096  # bytes read of the other files, which hold one line
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"refs(/(?![.])[^\x00-\x20\x7f~^:?*\[\\/]+)+")  # no part begins with a dot: none is `..`


def commit_of(directory: str | Path) -> str | None:
    """Return the hash of the current commit of the repository that contains a directory.

    None outside a repository, before its first commit, and if refs are stored in another form (reftable).
    """
    inside = Path(directory).absolute()
    for folder in (inside, *inside.parents):
        own = _repository(folder / ".git")
        if own is not None:
            return _head(own)
    return None


def _repository(git: Path) -> Path | None:
    """Return the repository's folder: `.git`, or the folder that a file `.git` names in worktrees and submodules."""
    if git.is_dir():
        return git if _line(git / "HEAD") is not None else None
    line = _line(git) or ""
    if not line.startswith("gitdir: "):
        return None
    return git.parent / line.removeprefix("gitdir: ")


def _head(own: Path) -> str | None:
    shared = _line(own / "commondir")  # in a worktree: the folder of the repository
    places = [own] if shared is None else [own, own / shared]
    content = _line(own / "HEAD")
    for _ in range(5):  # a ref may name another one
        if content is None or _HASH.fullmatch(content):
            return content
        name = content.removeprefix("ref:").strip()
        if not content.startswith("ref:") or not _NAME.fullmatch(name):
            return None
        loose = (_line(place / name) for place in places)
        content = next((line for line in loose if line is not None), None) or _packed(places[-1] / "packed-refs", name)
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
    """Return the text of a regular file; '' if it is larger or unreadable. Opening a pipe could wait forever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            return file.read(most).decode("utf-8") if stat.S_ISREG(status.st_mode) and status.st_size <= most else ""
    except (OSError, ValueError):
        return ""
