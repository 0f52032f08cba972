"""Folders of images as a data set: one folder a class, with or without folders for the splits."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tlx.data.findings import enumerated
from tlx.data.groups import groups_by_pattern
from tlx.data.layout import folders_without_images, ignored_below, images_below, read_layout
from tlx.data.samples import ImageSet, Sample, Split
from tlx.data.splits import carve, carve_val


def folder(
    root: str | os.PathLike[str],
    test_fraction: float = 0.2,
    group_pattern: str | None = None,
    *,
    name: str = "folder",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images below `root`; `tlx.data.layout.read_layout` says which layouts there are.

    What has a folder of its own is used as it is. Without a test folder the test split is carved from all images; with
    one, only val is carved from train.

    Args:
        root: The folder; `~` is expanded.
        test_fraction: Fraction of all images for the test split, where it is carved.
        group_pattern: Regular expression that finds, in a path relative to `root`, what images share that must stay on
            one side of a split that is carved, such as their patient; see `tlx.data.groups.groups_by_pattern`.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved: of all images, or of train where test has a folder.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder, or its layout is not understood, a file cannot be read, or the pattern finds
            nothing in a path.
    """
    root = Path(root).expanduser()
    layout = read_layout(root)
    splits = {part: _split(path, root, layout.class_names) for part, path in layout.splits.items()}
    if group_pattern is not None:
        splits = _grouped(splits, group_pattern)
    train = splits["train"]
    if layout.test is None:
        images = carve(name, layout.class_names, train, val_fraction, test_fraction, split_seed)
    elif layout.val is None:
        images = carve_val(name, layout.class_names, train, splits["test"], val_fraction, split_seed)
    else:
        rule = "train, val and test each have a folder"
        images = ImageSet(name, layout.class_names, train, splits["val"], splits["test"], rule)
    ignored = Counter(
        file.suffix.lower() or "without one" for path in layout.splits.values() for file in ignored_below(path)
    )
    if ignored:
        found = enumerated([f"{count} {suffix}" for suffix, count in sorted(ignored.items())])
        images = replace(images, rule=f"{images.rule}; left out, by extension: {found}")
    empty = [path.relative_to(root).as_posix() for path in folders_without_images(layout)]
    if empty:
        images = replace(images, notes=(f"no image in {len(empty)} folders: {enumerated(empty)}",))
    return images


def _grouped(splits: dict[str, Split], pattern: str) -> dict[str, Split]:
    names = [sample.name for split in splits.values() for sample in split.samples]
    groups = iter(groups_by_pattern(names, pattern))
    return {
        part: Split([replace(sample, group=next(groups)) for sample in split.samples]) for part, split in splits.items()
    }


def _split(path: Path, root: Path, class_names: list[str]) -> Split:
    return Split(
        [
            Sample(file, target, file.relative_to(root).as_posix())
            for target, class_name in enumerate(class_names)
            if (path / class_name).is_dir()
            for file in images_below(path / class_name)
        ]
    )
