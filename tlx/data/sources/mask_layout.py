"""How a set of images with masks is laid out on disk: which mask belongs to which image, and its splits.

Only the names of files and folders decide, but for masks that lie beside images under the same name with another
extension: there, a few files are opened. `docs/datasets.md` lists the layouts.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Literal

from tlx.base.errors import TlxError, closest
from tlx.base.legible import legible
from tlx.base.printable import counted, enumerated
from tlx.data.files.image_files import EXTENSIONS, why_no_folder
from tlx.data.files.walk import descended, files_below
from tlx.data.sources.mask_classes import found_file
from tlx.data.sources.mask_names import (
    MASK_EXTENSIONS,
    OUTLINES,
    Role,
    has_mask_ending,
    image_stems,
    mask_stems,
    said_by,
    stem_of,
)
from tlx.data.sources.mask_split_lists import read_lists

Form = Literal["files", "voc", "cityscapes"]
_ASKED = 8  # pairs that are opened to find out which of the two is the mask


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


@dataclass(frozen=True)
class MaskLayout:
    """Where the images of a set and their masks are.

    Args:
        root: Where the set is.
        pairs: Sorted by image.
        form: Whose layout it is, where the meaning of values follows from that.
        outlines: Whether masks are outlines that labelme wrote.
        class_file: The file that says what values mean, if there is one.
        lists: Files that say which image is in which split.
        said: How images and masks are told apart, in words.
        notes: What a person should be told, a line each.
    """

    root: Path
    pairs: list[Pair]
    form: Form
    outlines: bool
    class_file: Path | None
    lists: tuple[Path, ...]
    said: str
    notes: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Images, masks, and the files that say what they are."""
        own = [file for pair in self.pairs for file in (pair.image, *pair.masks)]
        return [*own, *([self.class_file] if self.class_file else []), *self.lists]


@dataclass(frozen=True)
class _File:
    """A file: where it is, what its folder is called, and what that says."""

    path: Path
    folder: str
    role: Role | None
    split: str | None
    rest: tuple[str, ...] = field(default=())


def read_mask_layout(
    root: str | os.PathLike[str], image_folder: str | None = None, mask_folder: str | None = None
) -> MaskLayout:
    """Find out which mask belongs to which image.

    Args:
        root: The folder; `~` is expanded.
        image_folder: Folder of the images, where its name does not say so: below `root`, the name of folders anywhere
            below it, or an absolute path.
        mask_folder: Likewise, of the masks.

    Raises:
        TlxError: There is no such folder, there are no masks or no images, or most images have several masks.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise TlxError(f"expected a folder of images and masks, got {root}, which {why_no_folder(root)}")
    root = descended(root)
    files = _listed(root)
    if image_folder is not None or mask_folder is not None:
        files = _as_told(root, files, image_folder, mask_folder)
    masks = [file for file in files if file.role == "mask"]
    images = [file for file in files if file.role in (None, "image") and file.path.suffix.lower() in EXTENSIONS]
    if any(file.role == "image" for file in images):
        images = [file for file in images if file.role == "image"]
    if masks and images and (pictures := _without_outlines(masks)):
        masks, form = _variants(pictures)
        said = f"images in {_folders(images)}, masks in {_folders(masks)}, paired by their names"
    else:
        form, (images, masks, said) = "files", _beside([file for file in files if file.role != "other"], root)
    pairs, orphans = _paired(images, masks)
    folders = {Path(folder) for folder in {file.folder for file in (*masks, *images)}}
    places = [root, *sorted({folder.parent for folder in folders} - {root.parent}), *sorted(folders)]
    parts = [part.lower() for file in images[:1] for part in file.path.parts]
    is_voc = "jpegimages" in parts
    form = "voc" if is_voc and any(re.fullmatch(r"voc(devkit|20\d\d)", part) for part in parts) else form
    notes = [] if not orphans else [f"left out, masks without an image: {len(orphans):,}: {_names(orphans, root)}"]
    _refuse_several(pairs, root)
    pairs, lists, more = _divided(pairs, root, is_voc)
    return MaskLayout(
        root,
        sorted(pairs, key=lambda pair: str(pair.image)),
        form,
        any(file.path.suffix.lower() == OUTLINES for file in masks[:1]),
        found_file(places),
        lists,
        said,
        (*notes, *more),
    )


def _listed(root: Path) -> list[_File]:
    """All files that may be images or masks; of folders that all of them share, the name says nothing."""
    found = [(here, name) for here, name in files_below(root) if os.path.splitext(name)[1].lower() in MASK_EXTENSIONS]
    folders = {here: Path(here).relative_to(root).parts for here in {here for here, _ in found}}
    levels = zip(*folders.values(), strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    told = {here: _told(parts[shared:]) for here, parts in folders.items()}
    return [_File(Path(here, name), here, *told[here]) for here, name in found]


def _told(parts: Sequence[str]) -> tuple[Role | None, str | None, tuple[str, ...]]:
    role, split, rest = None, None, []
    for part in parts:
        own, of_split = said_by(part)
        role, split = own or role, of_split or split
        if not own and not of_split:
            rest.append(part.lower())
    return role, split, tuple(rest)


def _as_told(root: Path, files: list[_File], image_folder: str | None, mask_folder: str | None) -> list[_File]:
    """Give the files in named folders their role; those in no named folder have none, or that of their names."""
    named: dict[Role, str | None] = {"image": image_folder, "mask": mask_folder}
    found: dict[Path, _File] = {file.path: file for file in files}
    roles: dict[str, set[Path]] = {}
    for role, name in named.items():
        if name is None:
            continue
        own = list(_in_folder(root, files, name))
        if not own:
            near = closest(name, {part for file in files for part in file.path.parent.relative_to(root).parts})
            hint = f"did you mean {near}?" if near else f"its names are relative to {root}, or absolute"
            raise TlxError(f"dataset.{role}_folder: expected a folder with images, got '{name}'; {hint}")
        roles[role] = {file.path for file in own}
        found |= {file.path: replace(file, role=role) for file in own}
    if roles.get("image") == roles.get("mask"):
        return [replace(file, role=None) for file in found.values() if file.path in roles["image"]]
    told = []
    inside = set().union(*roles.values())
    for file in found.values():
        if file.path in inside:
            told.append(file)
        elif len(roles) == 1:
            told.append(replace(file, role=None if file.role in roles else file.role))
    return told


def _in_folder(root: Path, files: list[_File], name: str) -> Iterator[_File]:
    folder = Path(name).expanduser()
    if folder.is_absolute() and not folder.is_relative_to(root):
        if folder.is_dir():
            yield from _listed(descended(folder))
        return
    parts = (folder.relative_to(root) if folder.is_absolute() else folder).parts
    whole = Path(root, *parts)
    for file in files:
        own = file.path.parent.relative_to(root).parts
        inside = file.path.is_relative_to(whole) if whole.is_dir() else _contains(own, parts)
        if inside:
            place = 0 if whole.is_dir() else next(i for i in range(len(own)) if own[i : i + len(parts)] == parts)
            around = own[len(parts) :] if whole.is_dir() else (*own[:place], *own[place + len(parts) :])
            _, split, rest = _told(around)
            yield replace(file, split=split or _told(parts)[1], rest=rest)


def _contains(own: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return any(own[i : i + len(parts)] == parts for i in range(len(own)))


def _without_outlines(masks: list[_File]) -> list[_File]:
    """Masks that are pictures; where there are none, files of labelme."""
    pictures = [file for file in masks if file.path.suffix.lower() != OUTLINES]
    return pictures or [file for file in masks if _is_labelme(file.path)]


def _variants(masks: list[_File]) -> tuple[list[_File], Form]:
    """Of Cityscapes, which has several files for each image, those with `labelIds`."""
    ids = [file for file in masks if stem_of(file.path.name).endswith("_labelids")]
    return (ids, "cityscapes") if ids else (masks, "files")


def _beside(files: list[_File], root: Path) -> tuple[list[_File], list[_File], str]:
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
        return _others(pictures, masks), masks, said
    outlines = [f for f in files if f.path.suffix.lower() == OUTLINES and stems[f.folder][stem_of(f.path.name)]]
    if outlines and _is_labelme(outlines[0].path):
        return pictures, outlines, "outlines of labelme beside images"
    together: dict[tuple[str, str], list[_File]] = defaultdict(list)
    for file in pictures:
        together[file.folder, stem_of(file.path.name)].append(file)
    doubles = [sorted(group, key=lambda file: file.path.name) for group in together.values() if len(group) == 2]
    if doubles and (extension := _mask_extension(doubles)):
        masks = [file for file in pictures if file.path.suffix.lower() == extension]
        return _others(pictures, masks), masks, f"masks ({extension}) beside images, paired by their names"
    ending = _learned_ending(pictures, stems)
    if ending:
        masks = [f for f in pictures if stem_of(f.path.name).endswith(ending)]
        return _others(pictures, masks), masks, f"masks beside images, called like them and {ending}"
    raise TlxError(_nothing(pictures, root))


def _others(files: Sequence[_File], without: Sequence[_File]) -> list[_File]:
    left_out = {file.path for file in without}
    return [file for file in files if file.path not in left_out and file.path.suffix.lower() in EXTENSIONS]


def _mask_extension(doubles: Sequence[Sequence[_File]]) -> str | None:
    """The extension of the masks, where images and masks differ by it alone."""
    pairs = Counter(tuple(file.path.suffix.lower() for file in group) for group in doubles)
    (one, other), _ = pairs.most_common(1)[0]
    if one == other:
        return None
    for extension, opposite in ((one, other), (other, one)):
        if extension in (".jpg", ".jpeg") and opposite not in (".jpg", ".jpeg"):
            return opposite
    from tlx.data.reading.mask_facts import examine_mask

    votes: Counter[str] = Counter()
    for group in doubles[:_ASKED]:
        facts = [examine_mask(str(file.path)) for file in group]
        few = min((found.distinct, file.path.suffix.lower()) for found, file in zip(facts, group, strict=True))
        votes[few[1]] += all(found.reason is None for found in facts)
    extension, count = votes.most_common(1)[0]
    return extension if count else None


def _learned_ending(pictures: Sequence[_File], stems: Mapping[str, Counter[str]]) -> str | None:
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


def _paired(images: Sequence[_File], masks: Sequence[_File]) -> tuple[list[Pair], list[Path]]:
    """Each image with its masks, and the masks that belong to none."""
    index: dict[tuple[object, object, str], list[int]] = defaultdict(list)
    for place, file in enumerate(images):
        for rank, stem in enumerate(image_stems(file.path.name)):
            for key in ((file.split, file.rest, stem), (file.split, "", stem), ("", "", stem)):
                if rank == 0 or key not in index:
                    index[key].append(place)
    found: dict[int, list[_File]] = defaultdict(list)
    orphans = []
    for mask in masks:
        places = _places(index, mask)
        for place in places:
            found[place].append(mask)
        if not places:
            orphans.append(mask)
    if orphans and not found:
        found, orphans = _by_number(images, masks)
    pairs = []
    for place, file in enumerate(images):
        own = sorted(found[place], key=lambda mask: mask.path.name)
        split = file.split or next((mask.split for mask in own if mask.split), None)
        pairs.append(Pair(file.path, tuple(mask.path for mask in own), split))
    return pairs, [mask.path for mask in orphans]


def _places(index: Mapping[tuple[object, object, str], list[int]], mask: _File) -> list[int]:
    for stem in mask_stems(mask.path.name):
        exact = index.get((mask.split, mask.rest, stem))
        if exact:
            return exact
        for key in ((mask.split, "", stem), ("", "", stem)):
            if len(index.get(key, ())) == 1:
                return index[key]
    return []


def _by_number(images: Sequence[_File], masks: Sequence[_File]) -> tuple[dict[int, list[_File]], list[_File]]:
    """Pair by the first number in the names, where that is different for all images and all masks of a split."""

    def numbers(files: Sequence[_File]) -> dict[tuple[str | None, int], _File]:
        matches = [(file, re.search(r"\d+", file.path.name)) for file in files]
        return {(file.split, int(match[0])): file for file, match in matches if match}

    of_images, of_masks = numbers(images), numbers(masks)
    if len(of_images) < len(images) or len(of_masks) < len(masks) or not of_images.keys() & of_masks.keys():
        return defaultdict(list), list(masks)
    places = {file.path: place for place, file in enumerate(images)}
    found: dict[int, list[_File]] = defaultdict(list)
    for key, mask in of_masks.items():
        if key in of_images:
            found[places[of_images[key].path]].append(mask)
    return found, [mask for key, mask in of_masks.items() if key not in of_images]


def _refuse_several(pairs: Sequence[Pair], root: Path) -> None:
    """Refuse a set in which most images have several masks: somebody must say which folder is meant."""
    several = [pair for pair in pairs if len(pair.masks) > 1]
    if 2 * len(several) <= len(pairs) or not several:
        return
    folders = sorted({legible(mask.parent.relative_to(root)) for mask in several[0].masks if mask.is_relative_to(root)})
    first = several[0]
    got = f"{len(first.masks)} for {legible(first.image.name)}: {_names(first.masks, root)}"
    hint = f"say which, such as dataset.mask_folder={folders[0]}" if len(folders) > 1 else "leave one in the folder"
    raise TlxError(f"{root}: expected one mask an image, got {got}; {hint}")


def _divided(pairs: list[Pair], root: Path, is_voc: bool) -> tuple[list[Pair], tuple[Path, ...], list[str]]:
    """Set the splits that lists name; leave out what has no mask for a reason."""
    notes: list[str] = []
    lists = {} if any(pair.split for pair in pairs) else read_lists(root, [pair.image for pair in pairs])
    if lists:
        parts = {stem: part for part, (_, stems) in lists.items() for stem in stems}
        placed = [replace(pair, split=parts.get(stem_of(pair.image.name))) for pair in pairs]
        unplaced = [pair for pair in placed if pair.split is None]
        if unplaced:
            notes.append(f"left out, {counted(len(unplaced), 'image', 'images')} that no list of a split names")
        pairs = [pair for pair in placed if pair.split is not None]
    elif is_voc and any(not pair.masks for pair in pairs) and any(pair.masks for pair in pairs):
        bare = sum(not pair.masks for pair in pairs)
        notes.append(f"left out, {counted(bare, 'image', 'images')} without a mask in SegmentationClass")
        pairs = [pair for pair in pairs if pair.masks]
    for part in ("val", "test"):
        own = [pair for pair in pairs if pair.split == part]
        if own and not any(pair.masks for pair in own):
            notes.append(f"left out, the {len(own):,} images of {part}: none of them has a mask")
            pairs = [pair for pair in pairs if pair.split != part]
    if any(pair.split for pair in pairs) and not any(pair.split == "train" for pair in pairs):
        raise TlxError(
            f"{root}: expected images of train beside those of {', '.join(sorted({p.split or 'none' for p in pairs}))}"
        )
    outside = [pair.image for pair in pairs if pair.split is None]
    if outside and len(outside) < len(pairs):
        notes.append(
            f"left out, {counted(len(outside), 'image', 'images')} outside the splits: {_names(outside, root)}"
        )
        pairs = [pair for pair in pairs if pair.split is not None]
    return pairs, tuple(file for file, _ in lists.values()), notes


def _folders(files: Sequence[_File]) -> str:
    return enumerated(sorted({Path(file.folder).name for file in files}), 3)


def _names(paths: Iterable[Path], root: Path) -> str:
    return enumerated([legible(p.relative_to(root) if p.is_relative_to(root) else p) for p in paths], 3)


def _nothing(pictures: Sequence[_File], root: Path) -> str:
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
