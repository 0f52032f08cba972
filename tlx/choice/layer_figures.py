"""The figures of an atlas: probes of layer groups, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tlx.choice.pool import Pool
from tlx.measures.percentiles import middle
from tlx.measures.probe_curve import ALL, HALF
from tlx.measures.ridge import Numbers

EVERY = "all groups"  # the outputs of all groups side by side
Key = tuple[int, str, float]  # number of the backbone, layer group, share of the images


@dataclass(frozen=True)
class Row:
    """A probe on the output of a layer group.

    Args:
        backbone: Name of the backbone.
        group: Name of the layer group, or EVERY.
        width: Number of its outputs.
        share: Share of the images that it was trained on.
        images: Number of these images.
        value: Accuracy or balanced accuracy, on all images.
        low: Lower end of its 95 % interval over images; NaN if there is none.
        high: Upper end.
        penalty: The ridge penalty, per image, for features of variance 1.
        number: Number of the backbone, from 0.
    """

    backbone: str
    group: str
    width: int
    share: float
    images: int
    value: float
    low: float
    high: float
    penalty: float
    number: int = 0


@dataclass(frozen=True)
class Gain:
    """A paired difference between two probes on the same images, with its 95 % interval; NaN: there is none."""

    value: float
    low: float
    high: float

    @property
    def is_shown(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class LayerFigures:
    """How well each layer group of one or several backbones separates the classes of a set of images.

    Args:
        pool: The images.
        figure: `accuracy` or, for uneven classes, `balanced_accuracy`.
        table: A row for each backbone, layer group and share of the images.
        notes: Further remarks, one line each.
        resampled: The figure of each row in resamples of the images (B,), by backbone, group and share.
    """

    pool: Pool
    figure: str
    table: list[Row]
    notes: tuple[str, ...] = ()
    resampled: dict[Key, Numbers] = field(default_factory=dict, repr=False)

    @property
    def whole(self) -> list[Row]:
        """The rows of probes that were trained on all images."""
        return [row for row in self.table if row.share == ALL]

    @property
    def best(self) -> Row:
        """The row of `whole` with the highest figure, of equal ones that with the fewest outputs."""
        return max(self.whole, key=lambda row: (row.value, -row.width))

    @property
    def as_good(self) -> list[Row]:
        """The other rows of `whole` that are not shown to be worse than the best."""
        return [row for row in self.whole if row is not self.best and not self.difference(self.best, row).is_shown]

    def at(self, row: Row, share: float) -> Row | None:
        """Return the row of the same layer group with another share of the images; None if it was not measured."""
        same = (one for one in self.table if (one.number, one.group, one.share) == (row.number, row.group, share))
        return next(same, None)

    def last_of(self, row: Row) -> Row:
        """Return the row of the last layer group of a row's backbone, which a linear probe reads."""
        return [one for one in self.whole if one.number == row.number and one.group != EVERY][-1]

    def gain(self, row: Row) -> Gain | None:
        """Return what a layer group gains from the second half of the images; None if that was not measured."""
        half, whole = self.at(row, HALF), self.at(row, ALL)
        return None if half is None or whole is None else self.difference(whole, half)

    def difference(self, one: Row, other: Row) -> Gain:
        """Return by how much a row exceeds another, paired by image."""
        first, second = (self.resampled.get((row.number, row.group, row.share)) for row in (one, other))
        ends = (float("nan"),) * 2 if first is None or second is None else tuple(map(float, middle(first - second)))
        return Gain(one.value - other.value, *ends)

    def __repr__(self) -> str:
        best = self.best
        return f"<Atlas of {self.pool.name}: best {best.backbone} {best.group}, {self.figure} {best.value:.4f}>"
