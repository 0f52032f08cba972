"""Match class names that YAML and Hydra read as values: a class called 0, 1e3, true or null is not read as text."""

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
    """Return the class with a typed name, or the only class whose name reads as the typed value.

    Args:
        typed: The parsed input: a string, a number, true, false or null.
        class_names: Class names.

    Returns:
        The class name; the input as text if no class or several match.
    """
    names = list(class_names)
    text = composed(typed)
    if text in names or isinstance(typed, str):
        return text
    matches = [name for name in names if _reads_as(name, typed)]
    if len(matches) == 1:
        return matches[0]
    return "null" if typed is None else str(typed).lower() if isinstance(typed, bool) else text


def _reads_as(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return name.lower() in _WORDS[value]
    with suppress(ValueError):
        return float(name) == value
    return False
