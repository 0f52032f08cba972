"""Text from files and folders, made safe for a terminal, a log or a comment: control characters are shown, not sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Sequence

# Control characters, line and paragraph separators, and characters that change the direction of text.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_IN_TEXT = re.compile(f"[{_CONTROLS}]")
_IN_A_NAME = re.compile(f"[\t\n{_CONTROLS}]")


def printable(text: object) -> str:
    """Return text with its control characters escaped, as `\\x1b`; tabs and line breaks are kept."""
    return _IN_TEXT.sub(_escaped, str(text))


def one_line(name: object) -> str:
    """Return a name on one line: tabs and line breaks are escaped too, as `\\n`."""
    return _IN_A_NAME.sub(_escaped, str(name))


def enumerated(names: Sequence[str], most: int = 10) -> str:
    """Return the first names and the number of the others."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def counted(count: int, one: str, more: str) -> str:
    """Return a number with a word in the singular or plural."""
    return f"{count:,} {one if count == 1 else more}"


def duration(seconds: float) -> str:
    """Return a duration for people: `8 s`, `12 min`, `3 h 05`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d}" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """Return the lines of a table whose columns are as wide in a terminal as their widest cell.

    Args:
        rows: The cells of each line, as many in each.
        right: The numbers of the columns that are aligned to the right.
    """
    widths = [max(map(columns_of, column)) for column in zip(*rows, strict=True)]

    def padded(column: int, cell: str) -> str:
        room = " " * (widths[column] - columns_of(cell))
        return room + cell if column in right else cell + room

    return ["  ".join(padded(i, cell) for i, cell in enumerate(row)).rstrip() for row in rows]


def columns_of(text: str) -> int:
    """Return the columns that a text takes in a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def shortened(text: str, most: int) -> str:
    """Return a text that takes at most so many columns, with `…` for what is left out."""
    if columns_of(text) <= most:
        return text
    while columns_of(text) > most - 1:
        text = text[:-1]
    return f"{text}…"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
