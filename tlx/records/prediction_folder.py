"""The folder that `tlx predict -o` writes, with masks or boxes."""

from __future__ import annotations

from pathlib import Path

from tlx.records.written_folder import WrittenFolder

LIST = "predictions.json"
SHEET = "sheet.png"  # the first images with what was predicted


def is_table(place: Path) -> bool:
    """Return whether the place for predictions is called like a table, and is not a folder."""
    return place.suffix.lower() == ".csv" and not place.is_dir()


class PredictionFolder(WrittenFolder):
    """A folder of predictions."""

    command, holds, list_name = "tlx predict", "predictions", LIST
