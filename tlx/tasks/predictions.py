"""The interface of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

    def show(self, most: int = ...) -> Figure:
        """Return a figure of the first images, each with what was predicted; see `tlx.tasks.contact_sheet`."""
