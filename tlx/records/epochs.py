"""The last row of a run's metrics.csv: how far it has come."""

from __future__ import annotations

import csv
from pathlib import Path

from tlx.base.files import open_regular

_MOST = 8 * 2**20  # bytes; a row has a few hundred


def last_row(directory: Path) -> dict[str, str]:
    """Return the last row of metrics.csv by column; {} if there is none."""
    try:
        with open_regular(directory / "metrics.csv") as file:
            text = file.read(_MOST).decode("utf-8", "replace")
        row = list(csv.DictReader(text.splitlines()))[-1]
    except (OSError, csv.Error, IndexError):
        return {}
    return {key: value for key, value in row.items() if isinstance(key, str) and isinstance(value, str)}
