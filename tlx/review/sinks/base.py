"""The interface of a sink, a destination of a review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tlx.measures.names import is_of_a_class
from tlx.measures.sections import Embedding, Plain, TableGroup


class Sink:
    """A destination of a review. A sink omits what it cannot show.

    Each method may raise any exception: the review continues with the next part.
    """

    name: str  # in messages

    def open(self) -> None:
        """Prepare the destination. A sink that cannot be opened receives no part of the review."""

    def write_figures(self, figures: Mapping[str, float], compared: Sequence[str]) -> None:
        """Write the final figures of the run.

        Args:
            figures: Values by flat name.
            compared: Names of the figures by which runs are compared.
        """

    def write_hyperparameters(self, values: Mapping[str, Plain]) -> None:
        """Write the settings that determined the result of the run, by dotted key."""

    def write_picture(self, name: str, pixels: np.ndarray) -> None:
        """Write a picture, uint8 (H, W, 3)."""

    def write_tables(self, group: TableGroup) -> None:
        """Write tables about one subject."""

    def write_embedding(self, embedding: Embedding) -> None:
        """Write images as points."""

    def close(self) -> None:
        """Write the remaining output."""


def scalars(figures: Mapping[str, float], compared: Sequence[str]) -> dict[str, float]:
    """Return the figures to chart as single points: those of the test, and `best/…` of those to compare.

    Per-class figures are left to tables: each would be a chart of one point.
    """
    tested = {name: value for name, value in figures.items() if name.startswith("test/") and not is_of_a_class(name)}
    return tested | best_figures(figures, compared)


def best_figures(figures: Mapping[str, float], compared: Sequence[str]) -> dict[str, float]:
    """Return the figures of the best checkpoint by which runs are compared, as `best/val_accuracy`, …"""
    return {f"best/{name.replace('/', '_')}": figures[name] for name in compared if name in figures}
