"""Names of metrics: `SPLIT/METRIC`, `SPLIT/METRIC/CLASS` for one class, and the names of interval ends.

The interval of `test/ppv/cat` is `test/ppv_low/cat` and `test/ppv_high/cat`. A class may be called `low`, and its name
may contain a slash, so the class comes last. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LOW, HIGH = "_low", "_high"


def ends(name: str) -> tuple[str, str]:
    """Return the names of both ends of a metric's interval."""
    split, figure, *of_class = name.split("/", 2)
    low, high = ("/".join([split, figure + end, *of_class]) for end in (LOW, HIGH))
    return low, high


def of_classes(
    figure: str, class_names: Sequence[str], values: np.ndarray, bounds: np.ndarray | None
) -> Iterator[tuple[str, float]]:
    """Yield the name and value of a metric for each class, and the ends of its interval.

    Args:
        figure: Such as `test/ppv`.
        class_names: Class names.
        values: A value for each class (K,).
        bounds: The lower ends and the upper ends (2, K); None: there are no intervals.
    """
    for i, class_name in enumerate(class_names):
        name = f"{figure}/{class_name}"
        yield name, float(values[i])
        if bounds is not None:
            yield from zip(ends(name), (float(end[i]) for end in bounds), strict=True)


def is_end(name: str) -> bool:
    """Return whether a name is an interval end."""
    return name.count("/") > 0 and name.split("/", 2)[1].endswith((LOW, HIGH))


def is_of_a_class(name: str) -> bool:
    """Return whether a name is the metric of a single class."""
    return name.count("/") > 1


def interval_of(figures: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """Return the interval of a metric; None if there is none."""
    low, high = ends(name)
    return (figures[low], figures[high]) if low in figures and high in figures else None
