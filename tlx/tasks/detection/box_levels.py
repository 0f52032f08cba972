"""Which level of a pyramid finds a box, decided by the sizes of the training boxes. Lengths are pixels of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Sides = Sequence[tuple[float, float]]  # widths and heights of boxes

FINEST, MAPPED = 8, 32  # strides: of the lowest level, and of the highest one that is made from a map of the backbone
SMALL = 12.0  # if more than a tenth of the boxes have a shorter side below it, a level of stride 4 is added
LEAST, MOST = 4, 16  # strides: a box that is smaller belongs to a finer level, one that is larger to a coarser one
ANCHOR_SIZES, ANCHOR_RATIOS = 3, 3  # at each location
_OUTER = (1 / 6, 1 / 2, 5 / 6)  # quantiles of the boxes of a level that anchors stand for
_SIZES_APART, _RATIOS_APART = 2 ** (1 / 3), 1.4  # between neighbouring anchors, at least: crops change sizes, too
_EXAMINED = 100_000  # boxes


@dataclass(frozen=True)
class BoxLevels:
    """The levels of a pyramid, and the boxes that each of them finds. The size of a box is the root of its area.

    Args:
        strides: Pixels between locations of each level, ascending; each is twice the one before.
        limits: The sizes at which one level ends and the next begins, one less than levels.
        anchors: Widths and heights of the anchors at a location of each level.
        reach: How far the edges of a box are from its centre, in strides of its level: the median.
    """

    strides: tuple[int, ...]
    limits: tuple[float, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    reach: float

    @classmethod
    def of(cls, sides: Sides | None) -> BoxLevels:
        """Return the levels for training boxes; None or no boxes: for sizes as usual in photographs."""
        with torch.device("cpu"):  # also where a network is built without memory
            if not sides:
                strides: tuple[int, ...] = (8, 16, 32, 64)
                limits = tuple(8.0 * stride for stride in strides[:-1])
                return cls(strides, limits, _anchors(strides, limits, torch.empty(0, 2)), 4.0)
            boxes = _tensor(sides)
            sizes = boxes.prod(1).sqrt()
            strides = _strides(boxes, sizes)
            limits = _limits(strides, sizes)
            reach = float((sizes / 2 / torch.tensor(strides)[_level(sizes, limits)]).median())
            return cls(strides, limits, _anchors(strides, limits, boxes), reach)

    def with_strides(self, strides: Sequence[int]) -> BoxLevels:
        """Return levels of other strides, whose limits and anchors are read from a checkpoint."""
        usual = tuple(8.0 * stride for stride in strides[:-1])
        return BoxLevels(tuple(strides), usual, (self.anchors[0],) * len(strides), self.reach)

    def shares(self, sides: Sides) -> list[float]:
        """Return the share of the boxes that belong to each level."""
        if not sides:
            return [0.0] * len(self.strides)
        level = _level(_tensor(sides).prod(1).sqrt(), self.limits)
        counts: list[int] = torch.bincount(level, minlength=len(self.strides)).tolist()
        return [count / len(level) for count in counts]

    def without_location(self, sides: Sides) -> float:
        """Return the share of boxes, at random positions, that lie between all locations and are never learned from."""
        if not sides:
            return 0.0
        within = (_tensor(sides) / self.strides[0]).clamp(max=1).prod(1)
        return float(1 - within.mean())

    def describe(self, sides: Sides) -> str:
        """Return the shares as one line."""
        shares = zip(self.strides, self.shares(sides), strict=True)
        levels = ", ".join(f"stride {stride} {share:.0%}" for stride, share in shares)
        lost = f"{self.without_location(sides):.1%} lie between all locations"
        return f"{len(sides):,} training boxes by level of the pyramid: {levels}; {lost}"


def _tensor(sides: Sides) -> Tensor:
    every = -(-len(sides) // _EXAMINED)
    return torch.tensor(sides[::every], dtype=torch.float32).clamp(min=1e-3)


def _strides(boxes: Tensor, sizes: Tensor) -> tuple[int, ...]:
    """Return the strides of the levels, ascending, for widths and heights (N, 2) and sizes (N,) of boxes."""
    strides = [stride for stride in (4, 8, 16, 32, 64, 128) if stride >= FINEST]
    if float(boxes.amin(1).quantile(0.1)) < SMALL:
        strides.insert(0, 4)
    if float(sizes.quantile(0.95)) < MOST * MAPPED:
        strides.remove(128)
    return tuple(strides)


def _limits(strides: Sequence[int], sizes: Tensor) -> tuple[float, ...]:
    """Return quantiles of the sizes, so that the levels share the boxes, within what a level can find.

    Each limit has its own range, and the ranges ascend, so the limits do.
    """
    levels = len(strides)
    shares = torch.tensor([(k + 1) / levels for k in range(levels - 1)])
    quantiles = sizes.quantile(shares).tolist()
    return tuple(min(max(q, LEAST * s), MOST * s) for q, s in zip(quantiles, strides[:-1], strict=True))


def _level(sizes: Tensor, limits: Sequence[float]) -> Tensor:
    """Return the level (N,) of each box of some sizes (N,)."""
    return torch.bucketize(sizes, torch.tensor(limits))


def _anchors(
    strides: Sequence[int], limits: Sequence[float], boxes: Tensor
) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Return the width and height of each anchor of each level, for the widths and heights (N, 2) of boxes."""
    sizes = boxes.prod(1).sqrt()
    level = _level(sizes, limits)
    ratios = _spread((boxes[:, 1] / boxes[:, 0]).log(), _RATIOS_APART, 1.0)
    found = []
    ends = [LEAST / 2 * strides[0], *limits, MOST * strides[-1]]
    for number in range(len(strides)):
        own = sizes[level == number]
        middle = (ends[number] * ends[number + 1]) ** 0.5
        found.append(
            tuple(
                (size / ratio**0.5, size * ratio**0.5)
                for size in _spread(own.log(), _SIZES_APART, middle)
                for ratio in ratios
            )
        )
    return tuple(found)


def _spread(logs: Tensor, apart: float, otherwise: float) -> list[float]:
    """Return three values that stand for many, of whose logarithms (N,) they are quantiles, at least so far apart."""
    if not len(logs):
        return [otherwise / apart, otherwise, otherwise * apart]
    low, middle, high = logs.quantile(torch.tensor(_OUTER)).exp().tolist()
    return [min(low, middle / apart), middle, max(high, middle * apart)]
