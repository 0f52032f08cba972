"""A list of the files that tlx wrote into a directory, as JSON: `{KEY: [NAME, …]}`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tlx.base.files import write_text


def read_names(path: Path, key: str, at_most: int) -> list[str] | None:
    """Return the names of a list; None if there is no such file, or tlx did not write it.

    A list may come from elsewhere: the caller checks where its names lead.

    Args:
        path: File of the list.
        key: The key of the list in it.
        at_most: The most bytes that the file may have.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > at_most:
            return None
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        return None
    return [name for name in content[key] if isinstance(name, str)]


def write_names(path: Path, key: str, names: Iterable[str]) -> None:
    """Write a list of names."""
    write_text(path, json.dumps({key: sorted(set(names))}, indent=1))
