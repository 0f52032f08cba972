"""Colours that can be told apart."""

from __future__ import annotations

import colorsys

# S. Trubetskoy's list of distinct colours, without black, white and gray.
_DISTINCT = (
    *("e6194b", "3cb44b", "ffe119", "4363d8", "f58231", "911eb4", "42d4f4", "f032e6", "bfef45", "fabed4"),
    *("469990", "dcbeff", "9a6324", "fffac8", "800000", "aaffc3", "808000", "ffd8b1", "000075"),
)
_GOLDEN = 0.618033988749895  # fraction of the circle of hues between one further colour and the next
# Of Okabe and Ito: for all eyes.
RIGHT, WRONG, IGNORED = (0, 114, 178), (213, 94, 0), (150, 150, 150)


def distinct_colour(number: int) -> tuple[int, int, int]:
    """Return a colour, red, green and blue from 0 to 255, that differs from those of other numbers from 0 up."""
    if number < len(_DISTINCT):
        red, green, blue = bytes.fromhex(_DISTINCT[number])
        return red, green, blue
    beyond = number - len(_DISTINCT)
    saturation, value = (1.0, 0.65, 0.4)[beyond % 3], (0.95, 0.7, 0.5)[beyond // 3 % 3]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(beyond * _GOLDEN % 1, saturation, value))
    return red, green, blue
