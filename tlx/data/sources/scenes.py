"""Scenes: characters on textured backgrounds, with a mask or boxes for each picture; they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tlx.base.errors import Mistake, TlxError
from tlx.base.fields import SEED, within
from tlx.data.box_labels import Boxes, BoxLabels
from tlx.data.mask_labels import MASKS, MaskArray
from tlx.data.sources.base import Source
from tlx.data.sources.glyphs import alphabet
from tlx.data.sources.keys import BoxKeys
from tlx.data.splits.samples import ImageSet, Sample, Split

if TYPE_CHECKING:
    from tlx.data.sources.drawn_scenes import Scene

BACKGROUND = "background"


@dataclass
class ScenesKeys(BoxKeys):
    """Scenes that are drawn."""

    classes: str | list[int | str] = "digits"
    count: int = field(default=300, metadata=within(1, 100_000))
    draw_seed: int = field(default=0, metadata=SEED)
    labels: Literal["masks", "boxes"] | None = "masks"


class ScenesSource(Source):
    """Characters on textured backgrounds; a label is the mask of the picture, or the boxes of its objects."""

    keys = ScenesKeys
    lists_files = False
    gives: ClassVar[tuple[str, ...]] = (MASKS.name, BoxLabels.name)

    def all_class_names(self) -> list[str]:
        """Return the characters; of masks the first class is the background."""
        return _class_names(alphabet(self.node.get("classes", "digits")), self.labels)

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
    labels: Literal["masks", "boxes"] | None = None,
    *,
    name: str = "scenes",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return pictures of 160 x 192 pixels that show up to six characters on a textured background.

    Args:
        classes: `digits`, `latin`, `latin_small`, `greek`, `cyrillic`, or characters.
        count: Training pictures; validation and test have a fifth as many each.
        draw_seed: Seed of all that is drawn.
        labels: `masks`, in which the background is class 0, or `boxes`; None: masks.
        name: Name of the set.
        val_fraction: Not used: the splits are drawn.
        split_seed: Not used.

    Raises:
        TlxError: No font of this machine has the characters, or they are not different ones.
    """
    from tlx.data.sources.drawn_scenes import MOST  # which imports NumPy

    characters = alphabet(classes)
    sizes = {"train": count, "val": max(1, count // 5), "test": max(1, count // 5)}
    labels = labels or "masks"
    parts = {part: _drawn(characters, draw_seed, part, size, labels) for part, size in sizes.items()}
    rule = "train, val and test are drawn"
    kind = BoxLabels(MOST) if labels == BoxLabels.name else MASKS
    names = _class_names(characters, labels)
    return ImageSet(name, names, parts["train"], parts["val"], parts["test"], rule, labels=kind)


def _class_names(characters: Sequence[str], labels: str) -> list[str]:
    return [*characters] if labels == BoxLabels.name else [BACKGROUND, *characters]


def _drawn(characters: tuple[str, ...], seed: int, part: str, count: int, labels: str) -> Split:
    import torch

    from tlx.data.sources.drawn_scenes import HEIGHT, WIDTH, draw_scene

    pixels = torch.empty(count, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    samples = []
    for i in range(count):
        scene = draw_scene(characters, seed, part, i)
        pixels[i] = torch.from_numpy(scene.pixels)
        label = _boxes(scene) if labels == BoxLabels.name else MaskArray(scene.mask)
        samples.append(Sample(i, label, f"{part} {i}"))
    return Split(samples, pixels)


def _boxes(scene: Scene) -> Boxes:
    return Boxes.of([(box[0], box[1], box[2], box[3]) for box in scene.boxes.tolist()], scene.classes.tolist())
