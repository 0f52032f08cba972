r"""Escape `${…}` in files: OmegaConf reads it as a reference, tlx as text.

Files of a run hold resolved values. The text `${x}` is written as `\${x}`, OmegaConf's own escape. A reference that is
not escaped was not written by tlx. It is refused, because resolving it could read the environment of the person who
opens the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# Matches from the first backslash on: a search that starts again at each one would take hours for a megabyte of them.
_REFERENCE = re.compile(r"(?<!\\)(\\*)\$\{")


class Reference(Exception):
    """A text with `${…}` that is not escaped."""


def escaped(value: Any) -> Any:
    r"""Return plain values with each `${` in their texts replaced by `\${`."""
    return _each_text(value, lambda text: _REFERENCE.sub(lambda found: found[1] * 2 + "\\${", text))


def unescaped(value: Any) -> Any:
    """Undo `escaped`.

    Raises:
        Reference: A `${` is not escaped; `args` hold the text.
    """

    def bare(text: str) -> str:
        if any(len(found[1]) % 2 == 0 for found in _REFERENCE.finditer(text)):
            raise Reference(text)
        return _REFERENCE.sub(lambda found: found[1][: len(found[1]) // 2] + "${", text)

    return _each_text(value, bare)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value) if "${" in value else value
    if isinstance(value, dict):
        return {_each_text(key, change): _each_text(held, change) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(held, change) for held in value]
    return value
