"""Names of classes as YAML and Hydra read them: a class called 0, 1e3, true or null arrives as no text."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tlx.base.legible import composed

_WORDS: dict[Any, set[str]] = {
    None: {"null", "none", "~"},
    True: {"true", "yes", "on", "y"},
    False: {"false", "no", "off", "n"},
}


def class_called(typed: object, class_names: Iterable[str]) -> str:
    """Return the class that is meant: the one of that name, or the only one whose name reads as that value.

    Args:
        typed: What was typed, as it arrived: a text, a number, true, false or null.
        class_names: Names of classes.

    Returns:
        The name; of a value that is no class's its own text.
    """
    names = list(class_names)
    text = composed(typed)
    if text in names or isinstance(typed, str):
        return text
    meant = [name for name in names if _reads_as(name, typed)]
    if len(meant) == 1:
        return meant[0]
    return "null" if typed is None else str(typed).lower() if isinstance(typed, bool) else text


def _reads_as(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return name.lower() in _WORDS[value]
    with suppress(ValueError):
        return float(name) == value
    return False
