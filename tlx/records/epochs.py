"""The rows of a run's metrics.csv: how it has trained, and how far it has come."""

from __future__ import annotations

import csv
from pathlib import Path

from tlx.records.tables import read_rows

_MOST = 8 * 2**20  # bytes; a row has a few hundred


def epoch_rows(directory: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv by column, one for each epoch.

    Raises:
        OSError: There is none.
        csv.Error: It is no table.
    """
    return read_rows(directory / "metrics.csv", _MOST)


def last_row(directory: Path) -> dict[str, str]:
    """Return the last row of metrics.csv by column; {} if there is none."""
    try:
        return epoch_rows(directory)[-1]
    except (OSError, csv.Error, IndexError):
        return {}
