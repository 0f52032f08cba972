"""Names of figures: `SPLIT/FIGURE` of a split, `SPLIT/FIGURE/CLASS` of one of its classes, and those of intervals.

The ends of the interval of `test/ppv/cat` are `test/ppv_low/cat` and `test/ppv_high/cat`: a class may be called `low`,
and its name may hold a slash, so what belongs to a figure stands before the class. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping

LOW, HIGH = "_low", "_high"


def ends(name: str) -> tuple[str, str]:
    """Return the names of both ends of a figure's interval."""
    split, figure, *of_class = name.split("/", 2)
    low, high = ("/".join([split, figure + end, *of_class]) for end in (LOW, HIGH))
    return low, high


def is_end(name: str) -> bool:
    """Return whether a name is that of an end of an interval."""
    return name.count("/") > 0 and name.split("/", 2)[1].endswith((LOW, HIGH))


def is_of_a_class(name: str) -> bool:
    """Return whether a name is that of a class's figure."""
    return name.count("/") > 1


def interval_of(figures: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """Return the interval of a figure among others, where there is one."""
    low, high = ends(name)
    return (figures[low], figures[high]) if low in figures and high in figures else None


def as_lines(figures: Mapping[str, float]) -> list[str]:
    """Return a line a figure, `test/accuracy: 0.95`; those of classes come last."""
    return [f"{name}: {figures[name]:.6g}" for name in sorted(figures, key=is_of_a_class)]
