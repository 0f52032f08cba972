"""A hash of a set's content, which replaces its path in the identity of a run. Only the standard library."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from tlx.base.legible import legible


def size_of(file: str | Path) -> int:
    """Return the size of a file in bytes; -1 if it does not exist."""
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def relative_name(file: Path, root: Path) -> str:
    """Return what a person calls a file: its path relative to the set's root; of one elsewhere, folder and name."""
    path, start = str(file), f"{root}{os.sep}"
    return legible(
        (path[len(start) :] if path.startswith(start) else os.path.join(*file.parts[-2:])).replace(os.sep, "/")
    )


def digest(start: bytes, entries: list[tuple[str, int]]) -> str:
    """Return a hash of some bytes and of the names and sizes of files; it does not depend on the order of the files.

    Args:
        start: The bytes, for example of a table.
        entries: Name relative to the set's root, and size in bytes, of each file.
    """
    hashed = blake2b(start, digest_size=16)
    for name, size in sorted(entries):
        hashed.update(os.fsencode(name) + f"\0{size}\0".encode())
    return hashed.hexdigest()
