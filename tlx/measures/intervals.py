"""Bootstrap intervals of test metrics: how far a metric may be off because the test split is a sample.

A resample draws N images with replacement from the N images of the split. The interval of a metric is the middle 95 %
of its values in many resamples (the percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapter 13). Images of one patient resemble one another, so they say less than images of different patients. If
images have groups, whole groups are drawn (the cluster bootstrap; Field and Welsh, Bootstrapping clustered data, 2007).

A resample is stored as the count of each image. All metrics are sums of these counts, so nothing is sorted twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from tlx.measures.names import ends, of_classes
from tlx.measures.percentiles import LEVEL, interval

RESAMPLES = 2_000
CLASSES_AT_MOST = 100  # with more classes, the single classes have no intervals
AT_ONCE = 1_000_000  # numbers that are processed together: as many resamples as have this many


@dataclass(frozen=True)
class Intervals:
    """The lower and upper end of the interval of each metric; NaN if the resamples say nothing about it.

    Args:
        overall: Metric -> (2,), such as `accuracy`.
        per_class: Metric -> (2, K), such as `sensitivity`; empty for more than CLASSES_AT_MOST classes.
        units: Number of images or groups that were drawn from. With fewer than two there are no intervals.
        resampled: Overall metric -> its value in each resample (B,). The draws depend on `units` and the seed alone, so
            networks that are tested on the same images see the same resamples, and their values are paired.
    """

    overall: dict[str, np.ndarray]
    per_class: dict[str, np.ndarray]
    units: int
    resampled: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def tested(self) -> dict[str, np.ndarray]:
        """The resampled metrics by the flat names of a test split, `test/accuracy`."""
        return {f"test/{name}": values for name, values in self.resampled.items()}


def bootstrap_counts(
    images: int,
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    groups: Sequence[str | None] | None = None,
    width: int = 0,
    proportions: Mapping[str, np.ndarray] = MappingProxyType({}),
    class_means: Collection[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Return the intervals of metrics that are functions of how often each image is drawn.

    Args:
        images: Number of images N.
        figures: Returns metrics by name as for `bootstrap_sums`, from the count of each image in B resamples (B, N).
        groups: The group of each image (N,), such as its patient; an image whose group is None is a group of its own.
            None: all images are.
        width: Numbers that `figures` has in memory for a resample, if they are more than N.
        proportions: Metric that is a proportion -> the images that it is a proportion of, (N,) or those of each class
            (N, K), boolean. Only these have an interval where all resamples agree, see `percentiles.interval`.
        class_means: The metrics that are means over classes, see `_moved`.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    units, unit_of = _units(groups, images)
    if units < 2:  # variation between units cannot be measured
        return Intervals({}, {}, units)
    parts = _drawn(units, resamples, seed, max(units, images, width))
    found = [figures(drawn if unit_of is None else drawn[:, unit_of]) for drawn in parts]
    behind = {name: _units_among(images_of, units, unit_of) for name, images_of in proportions.items()}
    whole = figures(np.ones((1, images), dtype=np.int64)) if class_means else {}
    return _intervals(found, units, behind, {name: whole[name] for name in class_means})


def bootstrap_sums(
    values: np.ndarray,
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    groups: Sequence[str | None] | None = None,
    class_means: Collection[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Return the intervals of metrics that are functions of sums over images, such as a mean IoU from pixel counts.

    Args:
        values: The numbers to add (N, D), integers whose sums stay below 2**53.
        figures: Returns metrics by name, overall ones (B,) and those of the classes (B, K), from the sums (B, D),
            float64, of B resamples. ` of each` may end the name of the latter, to tell it from an overall metric.
        groups: The group of each image (N,), as in `bootstrap_counts`.
        class_means: The metrics that are means over classes, see `_moved`.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    units, unit_of = _units(groups, len(values))
    if units < 2:
        return Intervals({}, {}, units)
    sums = values.astype(np.float64)
    if unit_of is not None:
        sums = np.zeros((units, values.shape[1]))
        np.add.at(sums, unit_of, values)
    parts = [figures(drawn @ sums) for drawn in _drawn(units, resamples, seed, max(sums.shape))]
    whole = figures(sums.sum(axis=0, keepdims=True)) if class_means else {}
    return _intervals(parts, units, {}, {name: whole[name] for name in class_means})


def _intervals(
    parts: Sequence[dict[str, np.ndarray]],
    units: int,
    behind: Mapping[str, np.ndarray],
    class_means: Mapping[str, np.ndarray],
) -> Intervals:
    """Return the intervals of metrics that were computed in parts, each for some of the resamples.

    Args:
        parts: The metrics by name, in some of the resamples.
        units: Number of units.
        behind: Proportion -> the number of units that it is a proportion of, () or (K,).
        class_means: Mean over classes -> its value on the whole split (1,).
    """
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    values |= {name: _moved(values[name], float(whole[0])) for name, whole in class_means.items()}
    bounds = {name: interval(found, behind.get(name, 0)) for name, found in values.items()}
    overall = {name: found for name, found in bounds.items() if found.ndim == 1}
    per_class = {name.removesuffix(" of each"): found for name, found in bounds.items() if found.ndim == 2}
    return Intervals(overall, per_class, units, {name: values[name] for name in overall})


def _moved(values: np.ndarray, whole: float) -> np.ndarray:
    """Return the resampled values (B,) of a mean over classes, moved so that their mean is the value of the split.

    A resample may have no image of a rare class. Its mean is then over fewer classes, so the middle of the resamples
    can lie beside the figure whose interval they are for: above it if rare classes are the difficult ones.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no resample defines the metric: NaN
        moved: np.ndarray = np.clip(values + whole - np.nanmean(values), 0, 1)
    return moved


def named(
    intervals: Intervals, names: Sequence[str], of_each_class: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, float]]:
    """Yield names and values of the intervals of a test split, and of the metrics of each class with theirs.

    Args:
        intervals: The intervals.
        names: The K classes.
        of_each_class: Metric -> a value for each class (K,).
    """
    for metric, bounds in intervals.overall.items():
        yield from zip(ends(f"test/{metric}"), map(float, bounds), strict=True)
    if len(names) > CLASSES_AT_MOST:  # thousands of names would hide the others; review.md has them all
        return
    for metric, values in of_each_class.items():
        yield from of_classes(f"test/{metric}", names, values, intervals.per_class.get(metric))


def groups_of(index: Sequence[int], groups: Sequence[str | None] | None) -> list[str | None] | None:
    """Return the groups of some images of a split; None if no image of the split has a group."""
    if groups is None or all(group is None for group in groups):
        return None
    return [groups[i] for i in index]


def resampling_note(intervals: Intervals, images: int, grouped: bool) -> str:
    """Return a sentence that explains the intervals in a table; '' if there are none.

    Args:
        intervals: The intervals.
        images: Number of images.
        grouped: Whether groups of images were drawn, not images.
    """
    if not intervals.overall:
        return ""
    drawn = f"groups of {images:,} test images" if grouped else "test images"
    return f"In brackets: {100 * LEVEL:g} % intervals, from {RESAMPLES:,} resamples of {intervals.units:,} {drawn}."


def _units(groups: Sequence[str | None] | None, images: int) -> tuple[int, np.ndarray | None]:
    """Return the number of units to draw from, and the unit of each image; None: each image is its own unit."""
    if groups is None:
        return images, None
    numbers: dict[str | tuple[int], int] = {}
    unit_of = [numbers.setdefault((i,) if g is None else g, len(numbers)) for i, g in enumerate(groups)]
    return len(numbers), np.array(unit_of)


def _units_among(images: np.ndarray, units: int, unit_of: np.ndarray | None) -> np.ndarray:
    """Return how many units have one of some images, (N,) or (N, K) boolean: () or (K,)."""
    found = images
    if unit_of is not None:
        found = np.zeros((units, *images.shape[1:]), dtype=bool)
        np.logical_or.at(found, unit_of, images)
    return np.asarray(found.sum(axis=0))


def _drawn(units: int, resamples: int, seed: int, width: int) -> Iterator[np.ndarray]:
    """Yield the count of each unit in resamples (B, units), in parts with B * width <= AT_ONCE numbers."""
    random = np.random.default_rng(seed)
    most = max(1, AT_ONCE // width)
    for start in range(0, resamples, most):
        count = min(most, resamples - start)
        cells = random.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        yield np.bincount(cells.ravel(), minlength=count * units).reshape(count, units)
