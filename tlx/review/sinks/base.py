"""What a place is that a review is written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tlx.measures.names import is_of_a_class
from tlx.measures.sections import Embedding, Plain, TableGroup


class Sink:
    """A place that a review is written to. A sink leaves out what it cannot show.

    Each method may raise whatever it meets: the review goes on with the next part.
    """

    name: str  # in messages

    def open(self) -> None:
        """Prepare what is written to. A sink that cannot be opened gets nothing of the review."""

    def write_figures(self, figures: Mapping[str, float], compared: Sequence[str]) -> None:
        """Write the final figures of the run.

        Args:
            figures: By flat names.
            compared: Names of those by which runs are compared.
        """

    def write_hyperparameters(self, values: Mapping[str, Plain]) -> None:
        """Write what decided the result of the run, by dotted keys."""

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3)."""

    def write_tables(self, group: TableGroup) -> None:
        """Write tables about one subject."""

    def write_embedding(self, embedding: Embedding) -> None:
        """Write images as points."""

    def close(self) -> None:
        """Write what is left to be written."""


def scalars(figures: Mapping[str, float], compared: Sequence[str]) -> dict[str, float]:
    """Return the figures that are one point in a chart each: those of the test, and `best/…` of those to compare.

    Figures of classes would be a hundred charts of one point each; tables have them.
    """
    tested = {name: value for name, value in figures.items() if name.startswith("test/") and not is_of_a_class(name)}
    return tested | best_figures(figures, compared)


def best_figures(figures: Mapping[str, float], compared: Sequence[str]) -> dict[str, float]:
    """Return the figures of the best checkpoint by which runs are compared, as `best/val_accuracy`, …"""
    return {f"best/{name.replace('/', '_')}": figures[name] for name in compared if name in figures}
