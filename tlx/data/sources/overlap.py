"""Splits that name the same images: each image stays in one of them. Only the standard library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tlx.base.printable import counted
from tlx.data.sources.mask_listing import names_of

_HELD_OUT = ("val", "test")


def apart(splits: Mapping[str, Iterable[Path]], root: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return splits that share no image, without empty ones, and remarks for the user.

    What is held out stays held out: images of train that are also in val or test are left out of train, and those of
    val that are also in test out of val; but train keeps its images where that would leave it none.

    Args:
        splits: The images of `train`, and of `val` and `test` where they are named.
        root: The set's folder.
    """
    found = {part: dict.fromkeys(images) for part, images in splits.items()}
    train, notes = found.get("train", {}), []
    named = [part for part in _HELD_OUT if found.get(part)]
    together: list[tuple[str, ...]] = [(part,) for part in _HELD_OUT if train.keys() <= found.get(part, {}).keys()]
    if not together and train.keys() <= {image for part in _HELD_OUT for image in found.get(part, ())}:
        together = [_HELD_OUT]
    for parts in together if train else ():
        notes.append(f"all images of train are also in {' or '.join(parts)}, and stay in train")
        for part in parts:
            found[part] = {image: None for image in found[part] if image not in train}
    for part, others in (("train", _HELD_OUT), ("val", ("test",))):
        also = [other for other in others if found.get(part, {}).keys() & found.get(other, {}).keys()]
        if also:
            shared = {image: None for image in found[part] if any(image in found[other] for other in also)}
            count = counted(len(shared), "image", "images")
            notes.append(f"left out of {part}, {count} also in {' and '.join(also)}: {names_of(shared, root)}")
            found[part] = {image: None for image in found[part] if image not in shared}
    if emptied := [part for part in named if not found[part]]:
        notes[-1] += f"; {' and '.join(emptied)} then has no images, and what is missing is carved from train"
    return {part: [*images] for part, images in found.items() if images}, notes
