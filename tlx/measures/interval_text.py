"""How an interval is shown: `0.9306 (0.9028 to 0.9556)`, and the value alone if its interval is not known."""

from __future__ import annotations

import math

Ends = tuple[float, float]  # the lower and the upper one


def with_interval(value: float, ends: Ends | None, form: str = ".4f") -> str:
    """Return a value and its interval, such as `0.9306 (0.9028 to 0.9556)`.

    Args:
        value: The value.
        ends: The ends of its interval; None or NaN: not known.
        form: Format of the numbers.
    """
    return f"{value:{form}}{in_brackets(ends, form)}"


def in_brackets(ends: Ends | None, form: str = ".4f") -> str:
    """Return an interval as it follows a value, ` (0.9028 to 0.9556)`; '' if it is not known."""
    text = between(ends, form)
    return f" ({text})" if text else ""


def between(ends: Ends | None, form: str = ".4f") -> str:
    """Return an interval alone, `0.9028 to 0.9556`; '' if it is not known."""
    if ends is None or not all(map(math.isfinite, ends)):
        return ""
    low, high = ends
    return f"{low:{form}} to {high:{form}}"
