"""The labels of a set of images, and what speaks against them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tlx.choice.pool import Pool
from tlx.data.datamodule import ImageDataModule


@dataclass(frozen=True)
class Label:
    """The label of an image, and what speaks against it.

    Args:
        image: Name of the image.
        split: Its split.
        label: Its class.
        suggested: The most probable other class.
        score: From 0, likely wrong, to 1; see `label_quality.normalised_margins`.
        is_wrong: Whether confident learning finds it to be wrong.
        position: Position of the image in the pool.
    """

    image: str
    split: str
    label: str
    suggested: str
    score: float
    is_wrong: bool
    position: int


@dataclass(frozen=True)
class JudgedLabels:
    """The labels of a set of images, the most doubtful first.

    Args:
        pool: The images.
        table: A row for each image that could be judged.
        backbone: Name of the backbone.
        groups: The layer groups whose outputs were used.
        unknown: Names of classes with images that could not be judged.
        data: The images, for pictures.
    """

    pool: Pool
    table: list[Label]
    backbone: str
    groups: tuple[str, ...]
    unknown: tuple[str, ...]
    data: ImageDataModule

    @property
    def wrong(self) -> list[Label]:
        """The rows that are likely wrong, the most doubtful first."""
        return [row for row in self.table if row.is_wrong]

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """Label, suggested label and number of images of `wrong`, the most frequent first."""
        return [(*pair, count) for pair, count in Counter((r.label, r.suggested) for r in self.wrong).most_common()]

    def __repr__(self) -> str:
        return f"<Audit of {self.pool.name}: {len(self.wrong):,} of {len(self.table):,} labels are likely wrong>"
