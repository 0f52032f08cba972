r"""`${…}` in files: a reference to OmegaConf, a text to tlx.

Files of a run hold resolved values. A value that is the text `${x}` is written as `\${x}`, OmegaConf's own form of it.
A reference that is not escaped was not written by tlx; resolving it would read the environment of whoever opens the
file, so it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# From the first of the backslashes on: begun at each of them anew, a megabyte of them would take hours.
_REFERENCE = re.compile(r"(?<!\\)(\\*)\$\{")


class Reference(Exception):
    """A text with `${…}` that is not escaped."""


def escaped(value: Any) -> Any:
    r"""Return plain values with `\${` for each `${` in their texts."""
    return _each_text(value, lambda text: _REFERENCE.sub(lambda found: found[1] * 2 + "\\${", text))


def unescaped(value: Any) -> Any:
    """Return what was given to `escaped`.

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
