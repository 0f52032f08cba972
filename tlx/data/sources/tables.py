"""Images named in a table as a data set: CSV or Parquet with a path and a label a row."""

from __future__ import annotations

import os
from dataclasses import replace

from tlx.base.legible import legible
from tlx.data.sources.table_images import Located, locate
from tlx.data.sources.tablefile import Columns, Table, image_root, read_table
from tlx.data.splits.division import carve, carve_val
from tlx.data.splits.samples import ImageSet, Sample, Split


def table(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str | None = "split",
    group_column: str | None = None,
    extension: str | None = None,
    test_fraction: float = 0.2,
    *,
    name: str = "table",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images that a table names; `tlx.data.sources.tablefile.read_table` says what it may look like.

    Splits are those of the split column: one with train and val only keeps val as its test split, as a folder does, and
    val is carved from train. Without such a column both are carved from all images.

    Args:
        path: The table; `~` is expanded.
        root: What paths in the table are relative to; None: the table's folder.
        path_column: Column with the image files.
        label_column: Column with the class names.
        split_column: Column with train, val or test; None: there is none. The usual name may be missing.
        group_column: Column with what images share that must stay on one side of a split that is carved, such as their
            patient; None: there is none.
        extension: What is added to paths that do not end in it, such as `.jpg`; None: nothing.
        test_fraction: Fraction of all images for the test split, where it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved: of all images, or of train.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such table, or it is not understood.
    """
    read = read_table(path, Columns(path_column, label_column, split_column, group_column))
    located = locate(path, read.rows, image_root(path, root), extension)
    notes = (*read.notes, *located.notes)
    parts = {part: _split(read, located, part) for part in ("train", "val", "test")}
    if not parts["test"]:
        parts["val"], parts["test"] = parts["test"], parts["val"]
    if not read.has_splits or not parts["test"]:
        carved = carve(name, read.class_names, _split(read, located), val_fraction, test_fraction, split_seed)
        return replace(carved, notes=notes)
    if not parts["val"]:
        carved = carve_val(name, read.class_names, parts["train"], parts["test"], val_fraction, split_seed)
        return replace(carved, notes=notes)
    rule = "train, val and test as the table says"
    return ImageSet(name, read.class_names, parts["train"], parts["val"], parts["test"], rule, notes)


def _split(read: Table, located: Located, part: str | None = None) -> Split:
    """The images of a split; None: all."""
    targets = {name: target for target, name in enumerate(read.class_names)}
    pairs = zip(located.rows, located.files, strict=True)
    return Split(
        [
            Sample(file, targets[row.label], legible(row.path), row.group)
            for row, file in pairs
            if part is None or row.split == part
        ]
    )
