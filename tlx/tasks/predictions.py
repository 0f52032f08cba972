"""The interface of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Predictions(Protocol):
    """Predictions of a network for image files; each task has its own class."""

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they were given."""

    def __len__(self) -> int:
        """Return the number of images."""

    def to_csv(self, path: str | Path) -> None:
        """Write a table of the images."""

    def save(self, path: str | Path) -> None:
        """Write everything to a place of the form that the task's kind names: a file or a folder."""
