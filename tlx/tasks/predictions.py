"""What every form of predictions has."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Predictions(Protocol):
    """What a network says of image files; a task has its own form of it."""

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they were named."""

    def __len__(self) -> int:
        """Return the number of images."""

    def to_csv(self, path: str | Path) -> None:
        """Write a table, a row an image."""
