"""Folders of images: one folder per class, with or without folders for the splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tlx.base.errors import Mistake, TlxError
from tlx.base.legible import legible
from tlx.base.printable import counted, enumerated
from tlx.data.files.image_files import EXTENSIONS, ignored_below, images_below
from tlx.data.files.walk import files_below, left_out_below
from tlx.data.sources.base import Source, mistake_of
from tlx.data.sources.content import digest, size_of
from tlx.data.sources.keys import Classes, RootKeys
from tlx.data.sources.layout import ClassFolders, Layout, folders_without_images, read_layout
from tlx.data.sources.set_folder import names_below, no_folder
from tlx.data.sources.split_folders import Splits
from tlx.data.sources.wrong_level import loose_note
from tlx.data.splits.groups import groups_by_pattern
from tlx.data.splits.samples import ImageSet, Sample, Split


@dataclass
class FolderKeys(RootKeys):
    """A tree of class folders."""

    classes: Classes | None = None
    splits: dict[str, int | str | list[int | str]] | None = None


class FolderSource(Source):
    """Images in class folders."""

    keys = FolderKeys
    chooses_classes = True

    def all_class_names(self) -> list[str] | None:
        """Return the names of the class folders."""
        return self._layout().class_names if self.is_set("root") else None

    def own_mistakes(self) -> list[Mistake]:
        """Return mistakes in `root`, in its layout and in `group_pattern`."""
        if not self.is_set("root"):
            return []
        if missing := no_folder(self):
            return missing
        try:
            layout = self._layout()
        except TlxError as error:
            if str(error).startswith("dataset.splits: "):
                return [mistake_of(error, "dataset.splits")]
            expected, got = "train/CLASS/… and val or test, or CLASS/…", f"'{self.node['root']}'"
            return [Mistake("dataset.root", expected, got, str(error))]
        pattern = self.node.get("group_pattern")
        if pattern is None:
            return []
        root = self.path("root")
        try:
            groups_by_pattern([_name(file, root) for place in layout.places for file in images_below(place)], pattern)
        except TlxError as error:
            return [mistake_of(error, "dataset.group_pattern")]
        return []

    def content(self) -> dict[str, Any]:
        """Return a hash of the names, relative to `root`, and sizes of the images."""
        root = str(self.path("root"))
        files = (os.path.join(*file) for place in self._layout().places for file in files_below(place))
        images = (file for file in files if os.path.splitext(file)[1].lower() in EXTENSIONS)
        return {"content": digest(b"", [(file[len(root) :], size_of(file)) for file in images])}

    def file_names(self) -> Iterator[str]:
        """Return the names of all files below `root`."""
        return names_below(self)

    def read(self) -> ImageSet:
        """Load the set with `folder`."""
        return folder(**self.arguments)

    def _layout(self) -> Layout:
        return read_layout(self.node["root"], self.node.get("splits"))


def folder(
    root: str | os.PathLike[str],
    test_fraction: float = 0.2,
    group_pattern: str | None = None,
    splits: Splits | None = None,
    *,
    name: str = "folder",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images below `root`; `tlx.data.sources.layout.read_layout` describes the layouts.

    Splits with folders of their own are not changed. Without a test folder, test and val are carved from all images;
    with one, a missing val is carved from train.

    Args:
        root: The folder; `~` is expanded.
        test_fraction: Fraction of all images for the test split, if it is carved.
        group_pattern: Regular expression that finds an image's group, such as its patient, in the path relative to
            `root`; carved splits do not divide groups. See `tlx.data.splits.groups.groups_by_pattern`.
        splits: Folders of the splits, if they have other names; see `tlx.data.sources.layout.read_layout`.
        name: Name of the set.
        val_fraction: Fraction for validation, if it is carved: of train if test has a folder, otherwise of all images.
        split_seed: Seed of the split.

    Raises:
        TlxError: The folder does not exist, its layout is not understood, a file cannot be read, or the pattern finds
            nothing in a path.

    Examples:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from tlx.data import folder
        >>> for name, gray in (("dark", 10), ("light", 200)):
        ...     Path("shades", name).mkdir(parents=True)
        ...     for i in range(10):
        ...         Image.new("L", (8, 8), color=gray + i).save(f"shades/{name}/{i}.png")
        >>> images = folder("shades", test_fraction=0.2, val_fraction=0.2)
        >>> images.class_names
        ['dark', 'light']
        >>> len(images.train.samples), len(images.val.samples), len(images.test.samples)
        (12, 4, 4)
    """
    from tlx.data.splits.division import carve, carve_val

    root = Path(root).expanduser()
    layout = read_layout(root, splits)
    parts = {part: _split(classes, root, layout.class_names) for part, classes in layout.classes.items()}
    if group_pattern is not None:
        parts = _grouped(parts, group_pattern)
    train = parts["train"]
    if "test" not in parts:
        images = carve(name, layout.class_names, train, val_fraction, test_fraction, split_seed)
    elif "val" not in parts:
        images = carve_val(name, layout.class_names, train, parts["test"], val_fraction, split_seed)
    else:
        rule = "official train, val and test folders"
        images = ImageSet(name, layout.class_names, train, parts["val"], parts["test"], rule)
    places = [place for places in layout.splits.values() for place in places]
    suffixes = (file.suffix.lower() for path in places for file in ignored_below(path))
    ignored = Counter(legible(suffix) or "without extension" for suffix in suffixes)
    folders = Counter(name for path in places for name in left_out_below(path))
    for kind, found in (("by extension", ignored), ("system and hidden folders", folders)):
        if found:
            counts = enumerated([f"{count:,} {name}" for name, count in sorted(found.items())])
            images = replace(images, rule=f"{images.rule}; left out, {kind}: {counts}")
    empty = [_name(path, root) for path in folders_without_images(layout)]
    loose = loose_note(places)
    notes = (
        *layout.notes,
        *([loose] if loose else []),
        *([f"no images in {counted(len(empty), 'folder', 'folders')}: {enumerated(empty)}"] if empty else []),
    )
    return replace(images, notes=notes)


def _grouped(splits: dict[str, Split], pattern: str) -> dict[str, Split]:
    names = [sample.name for split in splits.values() for sample in split.samples]
    groups = iter(groups_by_pattern(names, pattern))
    return {
        part: Split([replace(sample, group=next(groups)) for sample in split.samples]) for part, split in splits.items()
    }


def _split(classes: ClassFolders, root: Path, class_names: list[str]) -> Split:
    return Split(
        [
            Sample(file, target, _name(file, root))
            for target, class_name in enumerate(class_names)
            for place in classes.get(class_name, ())
            for file in images_below(place)
        ]
    )


def _name(path: Path, root: Path) -> str:
    return legible(path.relative_to(root).as_posix())
