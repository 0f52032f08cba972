"""Limits of the fields of a dataclass, as field metadata that `tlx.base.typecheck` reads."""

from __future__ import annotations

from typing import Any


def within(
    low: float | None = None, high: float | None = None, *, open_low: bool = False, open_high: bool = False
) -> dict[str, Any]:
    """Return field metadata for a number in [low, high]; `open_low` and `open_high` exclude the ends."""
    return {"low": low, "high": high, "open_low": open_low, "open_high": open_high}


def written(pattern: str, words: str) -> dict[str, Any]:
    """Return field metadata for a text that matches a regular expression entirely; `words` describe it to the user."""
    return {"pattern": pattern, "words": words}


POSITIVE = within(0, open_low=True)
NOT_NEGATIVE = within(0)
AT_LEAST_1 = within(1)
FRACTION = within(0, 1)
BELOW_1 = within(0, 1, open_high=True)
EPOCHS = within(1, 1_000_000)
RATE = within(0, 1000)
SEED = within(0, 2**63 - 1)
NAME = written(r"[^\x00-\x1f\x7f]{1,200}", "a text of 1 to 200 characters, without control characters")
PLACE = written(r"[^\x00-\x1f\x7f]{0,4096}", "a path of at most 4,096 characters, without control characters")
FOLDER = written(r"[^\x00-\x1f\x7f]{1,4096}", "a path of 1 to 4,096 characters, without control characters")
PART_OF_A_PATH = written(r"[^\x00-\x1f\x7f<>:\"|?*\\]{0,200}", "a text that can be part of a file's name")
