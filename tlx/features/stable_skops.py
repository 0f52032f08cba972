"""Reproducible .skops files: the same bytes for the same classifier.

skops names parts by their memory address and dates them, so that no two files are equal.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from zipfile import ZipFile, ZipInfo

_SCHEMA = "schema.json"
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip file


def stable(content: bytes) -> bytes:
    """Number the parts of a .skops file in the order of its schema, and give all of them the same date.

    Args:
        content: The result of `skops.io.dumps`.
    """
    with ZipFile(BytesIO(content)) as written:
        parts = {name: written.read(name) for name in written.namelist()}
    names: dict[str, str] = {}
    schema = _numbered(json.loads(parts.pop(_SCHEMA)), {}, names)
    result = BytesIO()
    with ZipFile(result, "w") as file:
        for name, new in names.items():
            file.writestr(ZipInfo(new, _DATE), parts[name])
        file.writestr(ZipInfo(_SCHEMA, _DATE), json.dumps(schema))
    return result.getvalue()


def _numbered(node: Any, numbers: dict[int, int], names: dict[str, str]) -> Any:
    """Return a part of the schema with small numbers instead of addresses; record old and new names of files."""
    if isinstance(node, list):
        return [_numbered(part, numbers, names) for part in node]
    if not isinstance(node, dict):
        return node
    new: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__" and isinstance(value, int):
            # The identity of plain values has no meaning: it differs in a classifier that was loaded.
            address = -1 - len(numbers) if node.get("is_json") else value
            new[key] = numbers.setdefault(address, len(numbers))
        elif key == "file" and isinstance(value, str):
            new[key] = names.setdefault(value, f"{len(names)}.{value.rpartition('.')[2]}")
        else:
            new[key] = _numbered(value, numbers, names)
    return new
