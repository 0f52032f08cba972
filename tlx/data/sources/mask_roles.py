"""Which files of a set are images and which are masks.

Names decide, of folders or of files. Where images and masks differ only by their extension, or by a folder whose name
says nothing, a few of them are opened: a mask has fewer values.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import enumerated
from tlx.data.files.image_files import EXTENSIONS
from tlx.data.sources.mask_listing import ListedFile, folder_names
from tlx.data.sources.mask_names import OUTLINES, has_mask_ending, image_stems, mask_stems, stem_of
from tlx.data.sources.split_folders import part_called

Form = Literal["files", "voc", "cityscapes"]
_ASKED = 8  # pairs that are opened to find out which of the two is the mask


@dataclass(frozen=True)
class Roles:
    """Images and masks, not yet paired.

    Args:
        images: The images.
        masks: The masks.
        said: How they are told apart, in words.
        form: Whose layout it is.
    """

    images: list[ListedFile]
    masks: list[ListedFile]
    said: str
    form: Form = "files"


def roles_of(files: Sequence[ListedFile], root: Path) -> Roles:
    """Tell images from masks.

    Raises:
        TlxError: There are none.
    """
    masks = [file for file in files if file.role == "mask"]
    images = [file for file in files if file.role in (None, "image") and file.path.suffix.lower() in EXTENSIONS]
    if any(file.role == "image" for file in images):
        images = [file for file in images if file.role == "image"]
    if masks and images and (pictures := _without_outlines(masks)):
        masks, form = _variants(pictures)
        said = f"images in {folder_names(images)}, masks in {folder_names(masks)}, paired by their names"
        return Roles(images, masks, said, form)
    return _beside([file for file in files if file.role != "other"], root)


def _without_outlines(masks: list[ListedFile]) -> list[ListedFile]:
    """Masks that are pictures; where there are none, files of labelme."""
    pictures = [file for file in masks if file.path.suffix.lower() != OUTLINES]
    return pictures or [file for file in masks if _is_labelme(file.path)]


def _variants(masks: list[ListedFile]) -> tuple[list[ListedFile], Form]:
    """Of Cityscapes, which has several files for each image, those with `labelIds`."""
    ids = [file for file in masks if stem_of(file.path.name).endswith("_labelids")]
    return (ids, "cityscapes") if ids else (masks, "files")


def _beside(files: list[ListedFile], root: Path) -> Roles:
    """Tell images from masks that lie in the same folders.

    Raises:
        TlxError: There are none.
    """
    pictures = [file for file in files if file.path.suffix.lower() != OUTLINES]
    stems: dict[str, Counter[str]] = defaultdict(Counter)
    for file in pictures:
        stems[file.folder].update(image_stems(file.path.name))
    masks = [
        file
        for file in pictures
        if has_mask_ending(file.path.name)
        and any(stems[file.folder][stem] for stem in list(mask_stems(file.path.name))[1:])
    ]
    if masks:
        endings = Counter(stem_of(file.path.name).removeprefix([*mask_stems(file.path.name)][-1]) for file in masks)
        said = f"masks beside images, called like them and {enumerated(sorted(endings), 3)}"
        return Roles(_others(pictures, masks), masks, said)
    outlines = [f for f in files if f.path.suffix.lower() == OUTLINES and stems[f.folder][stem_of(f.path.name)]]
    if outlines and _is_labelme(outlines[0].path):
        return Roles(_others(pictures, ()), outlines, "outlines of labelme beside images")
    together: dict[tuple[str, str], list[ListedFile]] = defaultdict(list)
    for file in pictures:
        together[file.folder, stem_of(file.path.name)].append(file)
    doubles = [sorted(group, key=lambda file: file.path.name) for group in together.values() if len(group) == 2]
    if doubles and (extension := _mask_extension(doubles)):
        masks = [file for file in pictures if file.path.suffix.lower() == extension]
        return Roles(_others(pictures, masks), masks, f"masks ({extension}) beside images, paired by their names")
    ending = _learned_ending(pictures, stems)
    if ending:
        masks = [f for f in pictures if stem_of(f.path.name).endswith(ending)]
        return Roles(_others(pictures, masks), masks, f"masks beside images, called like them and {ending}")
    return _twins(pictures, root)


def _others(files: Sequence[ListedFile], without: Sequence[ListedFile]) -> list[ListedFile]:
    left_out = {file.path for file in without}
    return [file for file in files if file.path not in left_out and file.path.suffix.lower() in EXTENSIONS]


def _mask_extension(doubles: Sequence[Sequence[ListedFile]]) -> str | None:
    """The extension of the masks, where images and masks differ by it alone."""
    pairs = Counter(tuple(file.path.suffix.lower() for file in group) for group in doubles)
    (one, other), _ = pairs.most_common(1)[0]
    if one == other:
        return None
    return _with_fewer_values([{file.path.suffix.lower(): file.path for file in group} for group in doubles])


def _with_fewer_values(pairs: Sequence[Mapping[str, Path]]) -> str | None:
    """Which of two kinds of files are masks: not JPEG, or those that have fewer values; None: nothing can be read.

    Args:
        pairs: Kind -> file, of two files that belong together.
    """
    kinds = list(pairs[0])
    lossy = [kind for kind in kinds if pairs[0][kind].suffix.lower() in (".jpg", ".jpeg")]
    if len(lossy) == 1:
        return next(kind for kind in kinds if kind not in lossy)
    from tlx.data.reading.mask_facts import examine_mask

    votes: Counter[str] = Counter()
    for pair in pairs[:_ASKED]:
        facts = {kind: examine_mask(str(path)) for kind, path in pair.items()}
        if all(found.reason is None for found in facts.values()):
            votes[min(facts, key=lambda kind: facts[kind].distinct)] += 1
    return votes.most_common(1)[0][0] if votes else None


def _twins(pictures: Sequence[ListedFile], root: Path) -> Roles:
    """Tell images from masks by their values, where they have the same names in two folders.

    Raises:
        TlxError: There are no such folders.
    """
    together: dict[str, list[ListedFile]] = defaultdict(list)
    for file in pictures:
        together[stem_of(file.path.name)].append(file)
    pairs: dict[tuple[str, ...], list[dict[str, Path]]] = defaultdict(list)
    for group in together.values():
        for one, other in combinations(group, 2):
            ones, others = one.path.parent.parts, other.path.parent.parts
            differ = [pair for pair in zip(ones, others, strict=False) if len(set(pair)) > 1]
            if len(ones) == len(others) and len(differ) == 1 and not set(map(part_called, differ[0])) - {None}:
                pairs[tuple(sorted(differ[0]))].append(dict(zip(differ[0], (one.path, other.path), strict=True)))
    names, found = max(pairs.items(), key=lambda item: len(item[1]), default=((), []))
    folder = _with_fewer_values(found) if found and 4 * len(found) >= len(pictures) else None
    if folder is None:
        raise TlxError(_nothing(pictures, root))
    kinds = {name: [_without(file, name) for file in pictures if name in file.path.parent.parts] for name in names}
    opposite = next(name for name in names if name != folder)
    said = f"images in {opposite}, masks, which have fewer values, in {folder}, paired by their names"
    return Roles(kinds[opposite], kinds[folder], said)


def _without(file: ListedFile, folder: str) -> ListedFile:
    return replace(file, rest=tuple(name for name in file.rest if name != folder.lower()))


def _learned_ending(pictures: Sequence[ListedFile], stems: Mapping[str, Counter[str]]) -> str | None:
    """An ending that files have which are otherwise called like others beside them, where it is one alone."""
    endings: Counter[str] = Counter()
    for file in pictures:
        stem = stem_of(file.path.name)
        for match in re.finditer(r"[_\-. ]", stem):
            if match.start() and stems[file.folder][stem[: match.start()]]:
                endings[stem[match.start() :]] += 1
                break
    if not endings:
        return None
    ending, count = endings.most_common(1)[0]
    return ending if 2 * count > len(pictures) * 0.9 else None


def _is_labelme(path: Path) -> bool:
    from tlx.data.reading.labelme import read_labelme

    try:
        read_labelme(path)
    except TlxError:
        return False
    return True


def _nothing(pictures: Sequence[ListedFile], root: Path) -> str:
    if not pictures:
        return f"{root}: expected images and masks, got none"
    folders = Counter(
        legible(Path(file.folder).relative_to(root)) for file in pictures if file.path.is_relative_to(root)
    )
    got = enumerated([f"{count:,} images in {name}" for name, count in folders.most_common()], 4)
    return (
        f"{root}: expected a mask for each image, such as images/1.jpg and masks/1.png, or 1.jpg and 1_mask.png, got "
        f"{got}; name their folders: dataset.mask_folder=… and dataset.image_folder=…"
    )
