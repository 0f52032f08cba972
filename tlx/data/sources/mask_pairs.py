"""Which mask belongs to which image. Only the standard library."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.data.sources.mask_listing import ListedFile, names_of
from tlx.data.sources.mask_names import image_stems, mask_stems

_FIRST_OBSERVER = re.compile(r"1st|manual_?1(?!\d)", re.IGNORECASE)
_ALL = 0.9  # of images and of masks, that a number must pair


@dataclass(frozen=True)
class Pair:
    """An image and its masks: one, unless something is wrong.

    Args:
        image: The image.
        masks: Its masks.
        split: `train`, `val` or `test`; None: the set says nothing.
    """

    image: Path
    masks: tuple[Path, ...]
    split: str | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether the image has a mask."""
        return bool(self.masks)


Found = tuple[dict[int, list[ListedFile]], list[ListedFile]]  # place of an image -> its masks; masks of none


def paired(images: Sequence[ListedFile], masks: Sequence[ListedFile]) -> tuple[list[Pair], list[Path]]:
    """Return each image with its masks, and the masks that belong to none.

    Names decide; where no mask is called like an image, masks in the folder of a single image are its, or a number that
    is in the names pairs them.
    """
    index: dict[tuple[object, object, str], list[int]] = defaultdict(list)
    for place, file in enumerate(images):
        # a.jpg.png is the mask of a.jpg alone where there is a.png, too
        for rank, stem in enumerate((file.path.name.lower(), *image_stems(file.path.name))):
            for key in ((file.split, file.rest, stem), (file.split, "", stem), ("", "", stem)):
                if rank < 2 or key not in index:
                    index[key].append(place)
    found: dict[int, list[ListedFile]] = defaultdict(list)
    orphans = []
    for mask in masks:
        places = _places(index, mask)
        for place in places:
            found[place].append(mask)
        if not places:
            orphans.append(mask)
    if orphans and not found:
        found, orphans = _by_folder(images, masks)
    if orphans and not found:
        found, orphans = _by_number(images, masks)
    pairs = []
    for place, file in enumerate(images):
        own = sorted(found[place], key=lambda mask: mask.path.name)
        split = file.split or next((mask.split for mask in own if mask.split), None)
        pairs.append(Pair(file.path, tuple(mask.path for mask in own), split))
    return pairs, [mask.path for mask in orphans]


def _places(index: Mapping[tuple[object, object, str], list[int]], mask: ListedFile) -> list[int]:
    for stem in mask_stems(mask.path.name):
        exact = index.get((mask.split, mask.rest, stem))
        if exact:
            return exact
        for key in ((mask.split, "", stem), ("", "", stem)):
            if len(index.get(key, ())) == 1:
                return index[key]
    return []


def _by_folder(images: Sequence[ListedFile], masks: Sequence[ListedFile]) -> Found:
    """Pair by the names of folders, where each image has folders of its own."""
    folders = {(file.split, file.rest): place for place, file in enumerate(images) if file.rest}
    found: dict[int, list[ListedFile]] = defaultdict(list)
    if len(folders) < len(images):
        return found, list(masks)
    for mask in masks:
        if (mask.split, mask.rest) in folders:
            found[folders[mask.split, mask.rest]].append(mask)
    return found, [mask for mask in masks if (mask.split, mask.rest) not in folders]


def _by_number(images: Sequence[ListedFile], masks: Sequence[ListedFile]) -> Found:
    """Pair by the first number in the names, where that is different for all images and all masks of a split."""

    def numbers(files: Sequence[ListedFile]) -> dict[tuple[str | None, int], ListedFile]:
        matches = [(file, re.search(r"\d+", file.path.name)) for file in files]
        return {(file.split, int(match[0])): file for file, match in matches if match}

    of_images, of_masks = numbers(images), numbers(masks)
    both = of_images.keys() & of_masks.keys()
    found: dict[int, list[ListedFile]] = defaultdict(list)
    if len(of_images) < len(images) or len(of_masks) < len(masks) or len(both) < _ALL * max(len(images), len(masks)):
        return found, list(masks)
    places = {file.path: place for place, file in enumerate(images)}
    for key in both:
        found[places[of_images[key].path]].append(of_masks[key])
    return found, [mask for key, mask in of_masks.items() if key not in both]


def one_each(pairs: list[Pair], root: Path) -> tuple[list[Pair], list[str]]:
    """Return pairs with one mask, and remarks for the user, of a set in which most images have several.

    Of several observers, as sets of retinas have them, the first one is taken.

    Raises:
        TlxError: Somebody must say which masks are meant.
    """
    several = [pair for pair in pairs if len(pair.masks) > 1]
    if 2 * len(several) <= len(pairs) or not several:
        return pairs, []
    first = [
        replace(pair, masks=tuple(m for m in pair.masks if _FIRST_OBSERVER.search(f"{m.parent.name}/{m.name}")))
        for pair in pairs
    ]
    if all(len(pair.masks) == 1 for pair in first):
        name = names_of(first[0].masks, root)
        return first, [f"of several masks for each image, that of the first observer is read, such as {name}"]
    one = several[0]
    folders = sorted({mask.parent for mask in one.masks})
    names = [folder.name for folder in folders]
    got = f"{len(one.masks)} for {legible(one.image.name)}: {names_of(one.masks, root)}"
    if len(folders) > 1:
        name = names[0] if len(set(names)) == len(names) else names_of(folders[:1], root)
        hint = f"say which, such as dataset.mask_folder={name}"
    else:
        hint = "leave one for each image, or merge them: a mask for each object is not read"
    raise TlxError(f"{root}: expected one mask an image, got {got}; {hint}")
