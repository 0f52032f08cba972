"""What `tlx check` says about boxes: their sizes, and how their images are resized."""

from __future__ import annotations

from collections.abc import Sequence

from tlx.data.augmentation.canvas import Canvas, quantile
from tlx.data.checked import CheckedSet
from tlx.data.resized import resized_boxes

_SHARES = (0, 10, 50, 90, 100)  # percentiles


def box_lines(checked: CheckedSet, canvas: Canvas) -> list[str]:
    """Return lines about the boxes of the training images, in pixels of resized images, and about the canvas."""
    sides = resized_boxes(checked, canvas.sides)
    ignored = sum(sum(sample.target.ignored) for split in checked.splits.values() for sample in split.samples)
    lines = canvas.describe()
    if sides:
        head = "".join(f"{name:>9}" for name in ("least", *(f"{share} %" for share in _SHARES[1:-1]), "most"))
        lines.append(f"sides of boxes in pixels{head}")
        lines += [
            _percentiles(f"  {name}", [pick(one) for one in sides])
            for name, pick in (("shorter", min), ("longer", max))
        ]
        aspects = [width / height for width, height in sides]
        lines.append(_percentiles("  width to height", aspects, ".2f"))
    if ignored:
        lines.append(f"{ignored:,} objects are ignored: they count neither as objects nor as background")
    return lines


def _percentiles(name: str, values: Sequence[float], form: str = ",.0f") -> str:
    ascending = sorted(values)
    picked = (quantile(ascending, share / 100) for share in _SHARES)
    return f"{name:<24}" + "".join(f"{value:>9{form}}" for value in picked)
