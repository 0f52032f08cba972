"""Small sets of images with masks, written as tests need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tlx.data.checked import CheckedSet, load_checked
from tlx.data.reading.facts import Facts, examine
from tlx.data.reading.mask_facts import examine_mask

SIDE = 20
Made = Callable[[int], np.ndarray | Image.Image]


def picture(number: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Return a picture (width, height) like no other."""
    width, height = size
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8))


def halves(*values: int, dtype: Any = np.uint8) -> np.ndarray:
    """Return a mask of as many columns of equal width as there are values."""
    return np.repeat(np.array(values, dtype=dtype), SIDE // len(values))[None].repeat(SIDE, 0)


def save(path: Path, mask: np.ndarray | Image.Image, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    image.save(path, **how)
    return path


def tree(root: Path, image: str, mask: str, count: int = 10, made: Made = lambda _: halves(0, 255)) -> Path:
    """Write images and masks at `root / pattern.format(number)`."""
    for number in range(count):
        save(root / image.format(number), picture(number))
        save(root / mask.format(number), made(number))
    return root


def palette(indices: np.ndarray, colours: Mapping[int, tuple[int, int, int]]) -> Image.Image:
    """Return a picture with a palette; places that `colours` does not name are black."""
    image = Image.fromarray(indices.astype(np.uint8), "L").convert("P")
    image.putdata(list(indices.ravel().tolist()))
    flat = [0] * 768
    for place, colour in colours.items():
        flat[3 * place : 3 * place + 3] = colour
    image.putpalette(flat)
    return image


def loaded(root: Path, stop: bool = True, **keys: Any) -> CheckedSet:
    """Return the set below `root` as a run would get it."""
    node = {"_target_": "tlx.data.masks", "name": "masks", "root": str(root), "val_fraction": 0.2, "split_seed": 0}
    return load_checked({**node, "check": True, "on_bad": "stop", **keys}, stop=stop)


def label(checked: CheckedSet, name: str) -> np.ndarray:
    """Return the mask of the image of that name."""
    return sample(checked, name).target.read()


def sample(checked: CheckedSet, name: str) -> Any:
    return next(s for split in checked.images.splits.values() for s in split.samples if s.name == name)


def sizes(checked: CheckedSet) -> list[int]:
    return [len(split) for split in checked.images.splits.values()]


def examined_here(paths: Sequence[str], kind: type[Any] = Facts) -> Iterator[tuple[int, Any]]:
    """Look at files as `tlx.data.reading.workers.examine_all` does, without starting processes."""
    yield from enumerate(map(examine if kind is Facts else examine_mask, paths))
