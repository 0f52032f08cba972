"""Which class is the background. Only the standard library."""

from __future__ import annotations

from collections.abc import Sequence

_NAMES = {"background", "bg"}


def background_of(class_names: Sequence[str]) -> int | None:
    """Return the index of the class called `background` or `bg` (`_background_` and `Background`, too), None if none.

    Args:
        class_names: Class names in the order of the outputs.
    """
    return next((i for i, name in enumerate(class_names) if name.strip(" _-").lower() in _NAMES), None)
