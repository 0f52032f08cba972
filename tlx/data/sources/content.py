"""A hash of the content of a set, which stands in place of its path. Only the standard library."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path


def size_of(file: str | Path) -> int:
    """Return the bytes of a file; -1 where it is not there."""
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def digest(start: bytes, entries: list[tuple[str, int]]) -> str:
    """Return a hash of some bytes and of the names and sizes of files, in any order.

    Args:
        start: Such as the bytes of a table.
        entries: Name, relative to the set's root, and size of each file.
    """
    hashed = blake2b(start, digest_size=16)
    for name, size in sorted(entries):
        hashed.update(os.fsencode(name) + f"\0{size}\0".encode())
    return hashed.hexdigest()
