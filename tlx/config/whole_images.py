"""Keys of the size of images that a test of whole images cannot change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake

_KEYS = ("image_size", "min_side", "max_side")


def other_sizes(trained: Mapping[str, Any], tested: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield a mistake for each key that differs: whole images are tested in the size, or the tiles, of the training.

    Args:
        trained: The dataset node of the run.
        tested: The node that it is tested on.
    """
    for key in _KEYS:
        own, other = trained.get(key), tested.get(key)
        if key in tested and other != own:
            written = "null" if own is None else own
            expected = f"{written} as in training: whole images are tested and predicted as the network learned them"
            hint = f"leave it out, or train a run with dataset.{key}={other}"
            yield Mistake(f"dataset.{key}", expected, "null" if other is None else str(other), hint)
