"""How a set of images with masks is laid out on disk: which mask belongs to which image, and its splits.

`docs/datasets.md` lists the layouts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tlx.base.printable import counted
from tlx.data.sources.mask_classes import found_file
from tlx.data.sources.mask_listing import listed, names_of, with_named_folders
from tlx.data.sources.mask_names import OUTLINES
from tlx.data.sources.mask_pairs import Pair, one_each, paired
from tlx.data.sources.mask_roles import Form, roles_of
from tlx.data.sources.official_splits import official
from tlx.data.sources.set_folder import set_folder
from tlx.data.sources.split_lists import read_lists


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
        notes: Remarks for the user, one line each.
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
    root = set_folder(root, "images and masks")
    files = listed(root)
    if image_folder is not None or mask_folder is not None:
        files = with_named_folders(root, files, image_folder, mask_folder)
    roles = roles_of(files, root)
    images, masks = roles.images, roles.masks
    pairs, orphans = paired(images, masks)
    pairs, notes = one_each(pairs, root)
    folders = {Path(folder) for folder in {file.folder for file in (*masks, *images)}}
    places = [root, *sorted({folder.parent for folder in folders} - {root.parent}), *sorted(folders)]
    parts = [part.lower() for file in images[:1] for part in file.path.parts]
    is_voc = "jpegimages" in parts
    is_original = is_voc and any(re.fullmatch(r"voc(devkit|20\d\d)", part) for part in parts)
    if orphans:
        notes.append(f"left out, masks without an image: {len(orphans):,}: {names_of(orphans, root)}")
    pairs, lists, more = _divided(pairs, root, is_voc)
    return MaskLayout(
        root,
        sorted(pairs, key=lambda pair: str(pair.image)),
        "voc" if is_original else roles.form,
        any(file.path.suffix.lower() == OUTLINES for file in masks[:1]),
        found_file(places),
        lists,
        roles.said,
        (*notes, *more),
    )


def _divided(pairs: list[Pair], root: Path, is_voc: bool) -> tuple[list[Pair], tuple[Path, ...], list[str]]:
    """Set the splits that lists name; leave out what has no mask for a reason."""
    notes: list[str] = []
    lists = {} if any(pair.split for pair in pairs) else read_lists(root, [pair.image for pair in pairs])
    if not lists and is_voc and any(not pair.masks for pair in pairs) and any(pair.masks for pair in pairs):
        bare = sum(not pair.masks for pair in pairs)
        notes.append(f"left out, {counted(bare, 'image', 'images')} without a mask in SegmentationClass")
        pairs = [pair for pair in pairs if pair.masks]
    found, more = official(pairs, lists, root, "a mask")
    return found, tuple(file for file, _ in lists.values()), [*notes, *more]
