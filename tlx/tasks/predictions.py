"""The interface of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


@runtime_checkable
class ComparesFeatures(Protocol):
    """Predictions that say which images are unlike all known ones."""

    def with_distances(self, distances: Tensor, limit: float) -> Predictions:
        """Return these predictions with the distance of each image (N,) to the known ones, and the limit for it."""


class Predictions(Protocol):
    """Predictions of a network for image files; each task has its own class."""

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they were given."""

    def __len__(self) -> int:
        """Return the number of images."""

    def to_csv(self, path: str | Path) -> None:
        """Write a table of the images."""

    def summary(self) -> list[str]:
        """Return what was predicted, for a terminal."""

    def save(self, path: str | Path) -> None:
        """Write everything to a place of the form that the task's kind names: a file or a folder."""

    def show(self, most: int = ...) -> Figure:
        """Return a figure of the first images, each with what was predicted; see `tlx.tasks.contact_sheet`."""
