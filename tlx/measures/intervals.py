"""Bootstrap intervals of test metrics: how far a metric may be off because the test split is a sample.

A resample draws N images with replacement from the N images of the split. The interval of a metric is the middle 95 %
of its values in many resamples (the percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapter 13). Images of one patient resemble one another, so they say less than images of different patients. If
images have groups, whole groups are drawn (the cluster bootstrap; Field and Welsh, Bootstrapping clustered data, 2007).

A resample is stored as the count of each image. All metrics are sums of these counts, so nothing is sorted twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tlx.measures.names import ends, of_classes

RESAMPLES = 2_000
LEVEL = 0.95
CLASSES_AT_MOST = 100  # with more classes, the single classes have no intervals
AT_ONCE = 1_000_000  # numbers that are processed together: as many resamples as have this many
PER_CLASS = ("sensitivity", "specificity", "ppv", "auroc")


@dataclass(frozen=True)
class Intervals:
    """The lower and upper end of the interval of each metric; NaN if no resample defines the metric.

    Args:
        overall: Metric -> (2,): `accuracy`, `balanced_accuracy`, and `auroc` if there are probabilities.
        per_class: Metric -> (2, K): those of PER_CLASS; empty for more than CLASSES_AT_MOST classes.
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


def bootstrap(
    target: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray | None,
    classes: int,
    groups: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Return the intervals of the metrics of a test split.

    Accuracy counts the drawn images. Balanced accuracy is the mean recall over the classes that count in the metric of
    the whole split, without classes that a resample has no image of. The interval of a class's metric ignores resamples
    that do not define it. Memory: a few dozen MB for 100,000 images, for any number of resamples.

    Args:
        target: True classes (N,).
        predicted: Predicted classes (N,).
        probabilities: (N, K); None: no AUROC.
        classes: Number of classes K.
        groups: The group of each image (N,), such as its patient; an image whose group is None is a group of its own.
            None: all images are.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    counting = _Counting(target, predicted, classes)
    columns = [] if probabilities is None else list(probabilities.T)
    curves = [RankedClass.of(scores, target == one) for one, scores in enumerate(columns)]

    def figures(drawn: np.ndarray) -> dict[str, np.ndarray]:
        found = counting.figures(drawn)
        if curves:
            each = np.stack([auroc(one, drawn) for one in curves], axis=1)
            found |= {"auroc": _mean(each), "auroc of each": each}
        if classes > CLASSES_AT_MOST:
            found = {name: values for name, values in found.items() if values.ndim == 1}
        return found

    return bootstrap_counts(len(target), figures, groups, max(len(target), classes), resamples, seed)


def bootstrap_counts(
    images: int,
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    groups: Sequence[str | None] | None = None,
    width: int = 0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Return the intervals of metrics that are functions of how often each image is drawn.

    Args:
        images: Number of images N.
        figures: Returns metrics by name as for `bootstrap_sums`, from the count of each image in B resamples (B, N).
        groups: The group of each image (N,), as in `bootstrap`.
        width: Numbers that `figures` has in memory for a resample, if they are more than N.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    units, unit_of = _units(groups, images)
    if units < 2:  # variation between units cannot be measured
        return Intervals({}, {}, units)
    parts = _drawn(units, resamples, seed, max(units, images, width))
    return _intervals([figures(drawn if unit_of is None else drawn[:, unit_of]) for drawn in parts], units)


def bootstrap_sums(
    values: np.ndarray,
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    groups: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Return the intervals of metrics that are functions of sums over images, such as a mean IoU from pixel counts.

    Args:
        values: The numbers to add (N, D), integers whose sums stay below 2**53.
        figures: Returns metrics by name, overall ones (B,) and those of the classes (B, K), from the sums (B, D),
            float64, of B resamples. ` of each` may end the name of the latter, to tell it from an overall metric.
        groups: The group of each image (N,), as in `bootstrap`.
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
    return _intervals(parts, units)


def _intervals(parts: Sequence[dict[str, np.ndarray]], units: int) -> Intervals:
    """Return the intervals of metrics that were computed in parts, each for some of the resamples."""
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    bounds = {name: middle(found) for name, found in values.items()}
    overall = {name: found for name, found in bounds.items() if found.ndim == 1}
    per_class = {name.removesuffix(" of each"): found for name, found in bounds.items() if found.ndim == 2}
    return Intervals(overall, per_class, units, {name: values[name] for name in overall})


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


@dataclass(frozen=True)
class RankedClass:
    """The images ranked by their scores for a class, for any number of resamples.

    Args:
        order: Indices of the images (N,), the lowest score first.
        positive: Positions of the images of the class in this order (P,).
        below: For each of these, the number of images with a lower score (P,).
        upto: For each of these, the number of images with a lower or equal score (P,).
    """

    order: np.ndarray
    positive: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, positive: np.ndarray) -> RankedClass:
        """Rank scores (N,); `positive` (N,) marks the images of the class."""
        order = np.argsort(scores, kind="stable")
        ranked, places = scores[order], np.flatnonzero(positive[order])
        own = ranked[places]
        return cls(order, places, np.searchsorted(ranked, own, "left"), np.searchsorted(ranked, own, "right"))


def auroc(ranked: RankedClass, drawn: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve in each resample (B,), float64; NaN without images of the class or of others.

    It is the fraction of pairs of an image of the class and an image of another class in which the first has the higher
    score; ties count half (the statistic of Mann and Whitney). All numbers are integers until the final division.

    Args:
        ranked: The class.
        drawn: Count of each image in each resample (B, N), integers.
    """
    sorted_ = drawn[:, ranked.order]
    own = sorted_[:, ranked.positive]
    sorted_[:, ranked.positive] = 0
    others = np.zeros((len(drawn), drawn.shape[1] + 1), dtype=np.int64)  # images of other classes among the first i
    np.cumsum(sorted_, axis=1, out=others[:, 1:])
    won = (own * (others[:, ranked.below] + others[:, ranked.upto])).sum(axis=1)
    return _ratio(won, 2 * own.sum(axis=1) * others[:, -1])


class _Counting:
    """Counts the images of each true class, of each predicted class, and those where both agree, in resamples."""

    def __init__(self, target: np.ndarray, predicted: np.ndarray, classes: int) -> None:
        self.classes = classes
        right = np.flatnonzero(target == predicted)
        everywhere = np.arange(len(target))
        sums = ((everywhere, target), (everywhere, predicted), (right, target))
        self._parts = [_by_class(places, of[places]) for places, of in sums]
        self._present = np.bincount(target, minlength=classes) > 0
        self._counts = self._present | (np.bincount(predicted, minlength=classes) > 0)

    def figures(self, drawn: np.ndarray) -> dict[str, np.ndarray]:
        """Return overall metrics (B,) and metrics of each class (B, K) in resamples (B, N)."""
        actual, predicted, right = (self._sums(drawn, part) for part in self._parts)
        total = drawn.sum(axis=1, keepdims=True)
        sensitivity = _ratio(right, actual)
        recall = np.where(self._present, sensitivity, 0.0)  # as in the metric of the whole split, see `ClassCounts`
        return {
            "accuracy": _ratio(right.sum(axis=1), total[:, 0]),
            "balanced_accuracy": _mean(recall[:, self._counts]),
            "sensitivity": sensitivity,
            "specificity": _ratio(total - actual - predicted + right, total - actual),
            "ppv": _ratio(right, predicted),
        }

    def _sums(self, drawn: np.ndarray, part: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        order, present, starts = part
        sums = np.zeros((len(drawn), self.classes), dtype=np.int64)
        if len(order):
            sums[:, present] = np.add.reduceat(drawn[:, order], starts, axis=1)
        return sums


def _by_class(places: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image indices sorted by class, the classes that occur, and where each begins."""
    order = np.argsort(classes, kind="stable")
    present, starts = np.unique(classes[order], return_index=True)
    return places[order], present, starts


def _units(groups: Sequence[str | None] | None, images: int) -> tuple[int, np.ndarray | None]:
    """Return the number of units to draw from, and the unit of each image; None: each image is its own unit."""
    if groups is None:
        return images, None
    numbers: dict[str | tuple[int], int] = {}
    unit_of = [numbers.setdefault((i,) if g is None else g, len(numbers)) for i, g in enumerate(groups)]
    return len(numbers), np.array(unit_of)


def _drawn(units: int, resamples: int, seed: int, width: int) -> Iterator[np.ndarray]:
    """Yield the count of each unit in resamples (B, units), in parts with B * width <= AT_ONCE numbers."""
    random = np.random.default_rng(seed)
    most = max(1, AT_ONCE // width)
    for start in range(0, resamples, most):
        count = min(most, resamples - start)
        cells = random.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        yield np.bincount(cells.ravel(), minlength=count * units).reshape(count, units)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: np.ndarray = part / whole
    return ratio


def _mean(each: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no class defines the metric: NaN
        mean: np.ndarray = np.nanmean(each, axis=1)
    return mean


def middle(values: np.ndarray) -> np.ndarray:
    """Return the ends of the middle 95 % of values (B, …) that are defined: (2, …)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no resample defines the metric: NaN
        ends: np.ndarray = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ends
