"""Tiles: parts of the input's size of the images of a split."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tlx.base.tile_offsets import tile_offsets
from tlx.data.reading.facts import Facts
from tlx.data.reading.pixels import upright_size
from tlx.data.splits.samples import Split

_SEED = 0  # fixed, so that all runs validate on the same tiles


def tiles(split: Split, sizes: Sequence[tuple[int, int]], tile: tuple[int, int], most: int) -> Split:
    """Return the tiles that cover the images of a split, or a fixed choice of them.

    The choice takes one tile of each image before it takes a second of any.

    Args:
        split: The images.
        sizes: Height and width of each, at least those of a tile.
        tile: Height and width of a tile in pixels.
        most: Number of tiles, at most.
    """
    draw = random.Random(_SEED)
    turns: list[tuple[int, float, int, tuple[int, int]]] = []  # round, order in it, image, place
    for image, size in enumerate(sizes):
        tops, lefts = (tile_offsets(side, length) for side, length in zip(size, tile, strict=True))
        own = [(top, left) for top in tops for left in lefts]
        draw.shuffle(own)
        turns += [(number, draw.random(), image, place) for number, place in enumerate(own[:most])]
    chosen = sorted((image, place) for _, _, image, place in sorted(turns)[:most])
    return Split(
        [
            replace(split.samples[image], region=(*place, *tile), name=_name(split, image, place))
            for image, place in chosen
        ],
        split.pixels,
    )


def image_sizes(split: Split, facts: Mapping[Path, Facts] = MappingProxyType({})) -> list[tuple[int, int]]:
    """Return the height and width of each image of a split, upright.

    Args:
        split: The images.
        facts: Known facts of their files; the others are opened.

    Raises:
        TlxError: A file is missing or broken.
    """
    if split.pixels is not None:
        size = (int(split.pixels.shape[-2]), int(split.pixels.shape[-1]))
        return [size] * len(split)
    paths = (sample.source for sample in split.samples if isinstance(sample.source, Path))
    return [_known_size(facts.get(path)) or upright_size(path) for path in paths]


def _known_size(facts: Facts | None) -> tuple[int, int] | None:
    if facts is None or not facts.short_side:
        return None
    return facts.upright


def _name(split: Split, image: int, place: tuple[int, int]) -> str:
    return f"{split.samples[image].name} at {place[1]},{place[0]}"
