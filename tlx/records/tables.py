"""Read a table of a run, whoever wrote it: text of limited size."""

from __future__ import annotations

import csv
from pathlib import Path

from tlx.base.files import open_regular


def read_rows(path: Path, most: int) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column; what lies beyond `most` bytes is left out.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
        csv.Error: It is no table.
    """
    with open_regular(path) as file:
        text = file.read(most).decode("utf-8", "replace")
    rows = csv.DictReader(text.splitlines(keepends=True))
    return [{key: value for key, value in row.items() if isinstance(key, str) and value is not None} for row in rows]
