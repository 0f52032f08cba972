"""Scenes: characters on textured backgrounds, with a mask for each picture; they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from tlx.base.errors import Mistake, TlxError
from tlx.base.fields import SEED, within
from tlx.data.mask_labels import MASKS, MaskArray
from tlx.data.sources.base import Source
from tlx.data.sources.glyphs import alphabet
from tlx.data.sources.keys import CropKeys
from tlx.data.splits.samples import ImageSet, Sample, Split

BACKGROUND = "background"


@dataclass
class ScenesKeys(CropKeys):
    """Scenes that are drawn."""

    classes: str | list[int | str] = "digits"
    count: int = field(default=300, metadata=within(1, 100_000))
    draw_seed: int = field(default=0, metadata=SEED)


class ScenesSource(Source):
    """Characters on textured backgrounds; a label is the mask of the picture."""

    keys = ScenesKeys
    labels: ClassVar[str] = MASKS.name

    def all_class_names(self) -> list[str]:
        """Return the background and the characters."""
        return [BACKGROUND, *alphabet(self.node.get("classes", "digits"))]

    def own_mistakes(self) -> list[Mistake]:
        """Return whether the classes are no characters."""
        try:
            self.all_class_names()
        except TlxError as error:
            return [Mistake("dataset.classes", "characters to draw", f"'{self.node['classes']}'", str(error))]
        return []

    def content(self) -> dict[str, Any]:
        """Return nothing: the keys say all."""
        return {}

    def read(self) -> ImageSet:
        """Return what `scenes` returns."""
        return scenes(**self.arguments)


def scenes(
    classes: str | list[int | str] = "digits",
    count: int = 300,
    draw_seed: int = 0,
    *,
    name: str = "scenes",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return pictures of 160 x 192 pixels that show up to six characters on a textured background, with their masks.

    Boxes of the same pictures: `tlx.data.sources.drawn_scenes.draw_scene`.

    Args:
        classes: `digits`, `latin`, `latin_small`, `greek`, `cyrillic`, or characters; the background is class 0.
        count: Training pictures; validation and test have a fifth as many each.
        draw_seed: Seed of all that is drawn.
        name: Name of the set.
        val_fraction: Not used: the splits are drawn.
        split_seed: Not used.

    Raises:
        TlxError: No font of this machine has the characters, or they are not different ones.
    """
    characters = alphabet(classes)
    sizes = {"train": count, "val": max(1, count // 5), "test": max(1, count // 5)}
    parts = {part: _drawn(characters, draw_seed, part, size) for part, size in sizes.items()}
    rule = "train, val and test are drawn"
    names = [BACKGROUND, *characters]
    return ImageSet(name, names, parts["train"], parts["val"], parts["test"], rule, labels=MASKS)


def _drawn(characters: tuple[str, ...], seed: int, part: str, count: int) -> Split:
    import torch

    from tlx.data.sources.drawn_scenes import HEIGHT, WIDTH, draw_scene

    pixels = torch.empty(count, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    samples = []
    for i in range(count):
        scene = draw_scene(characters, seed, part, i)
        pixels[i] = torch.from_numpy(scene.pixels)
        samples.append(Sample(i, MaskArray(scene.mask), f"{part} {i}"))
    return Split(samples, pixels)
