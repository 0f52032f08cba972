"""Images listed in a table, CSV or Parquet, with a path and a label in each row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tlx.base.errors import Mistake, TlxError
from tlx.base.legible import legible
from tlx.data.files.image_files import closest_file
from tlx.data.sources.base import Source
from tlx.data.sources.content import digest, size_of
from tlx.data.sources.keys import CARVED, Classes, SourceKeys
from tlx.data.sources.table_images import Located, extension_of, locate
from tlx.data.sources.table_rows import Columns, Table, image_root, read_table
from tlx.data.splits.samples import ImageSet, Sample, Split


@dataclass
class TableKeys(SourceKeys):
    """A table with a path and a label for each image."""

    classes: Classes | None = None
    path: str = "???"
    root: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = "split"
    group_column: str | None = None
    extension: str | None = None
    test_fraction: float = field(default=0.2, metadata=CARVED)


class TableSource(Source):
    """Images listed in a table."""

    keys = TableKeys
    chooses_classes = True

    def all_class_names(self) -> list[str] | None:
        """Return the labels of the table."""
        return self._table().class_names if self.is_set("path") else None

    def own_mistakes(self) -> list[Mistake]:
        """Return mistakes in the table, and images that are missing."""
        if not self.is_set("path"):
            return []
        path, node = self.path("path"), self.node
        expected = "a table of images and labels"
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "does not exist"
            return [Mistake("dataset.path", expected, f"'{node['path']}', which {problem}", closest_file(path))]
        base = image_root(node["path"], node.get("root"))
        try:
            located = self._located()
        except TlxError as error:
            return [Mistake("dataset.path", expected, f"'{node['path']}'", str(error))]
        rows, missing = located.rows, located.missing
        if not missing or (node.get("on_bad") == "skip" and len(missing) < len(rows)):
            return []
        few = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        got = f"{len(missing):,} of {len(rows):,} missing: {few}"
        extension = extension_of(missing, base)
        if extension is not None:
            hint = f"files of these names with {extension} exist: type dataset.extension={extension}"
            return [Mistake("dataset.extension", f"the images of the table in {base}", got, hint)]
        hint = "name the folder that contains them: dataset.root=DIR"
        if len(missing) < len(rows):
            hint += ", or leave them out: dataset.on_bad=skip"
        return [Mistake("dataset.root", f"the images of the table in {base}", got, hint)]

    def content(self) -> dict[str, Any]:
        """Return a hash of the table's bytes and of the sizes of its images."""
        start, located = self.path("path").read_bytes(), self._located()
        pairs = zip(located.rows, located.files, strict=True)
        return {"content": digest(start, [(row.path, size_of(file)) for row, file in pairs])}

    def file_names(self) -> Iterator[str]:
        """Return the paths in the table."""
        return (row.path for row in self._table().rows) if self.is_set("path") else iter(())

    def read(self) -> ImageSet:
        """Load the set with `table`."""
        return table(**self.arguments)

    def _table(self) -> Table:
        return read_table(self.node["path"], Columns.of(self.node))

    def _located(self) -> Located:
        base = image_root(self.node["path"], self.node.get("root"))
        return locate(self.path("path"), self._table().rows, base, self.node.get("extension"))


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
    """Return the images listed in a table; `tlx.data.sources.table_rows.read_table` describes its format.

    The split column determines the splits. With only train and val, val becomes the test split, as for folders, and
    validation is carved from train. Without a split column, test and val are carved from all images.

    Args:
        path: The table; `~` is expanded.
        root: Folder to which paths in the table are relative; None: the table's folder.
        path_column: Column with the image files.
        label_column: Column with the class names.
        split_column: Column with train, val or test; None: no column. A column with the default name may be missing.
        group_column: Column with groups, such as patients, which a carved split does not divide; None: no column.
        extension: Extension added to paths that do not end in it, such as `.jpg`; None: nothing is added.
        test_fraction: Fraction of all images for the test split, if it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, if it is carved: of train if there is a test split, otherwise of all.
        split_seed: Seed of the split.

    Raises:
        TlxError: The table does not exist or is invalid.
    """
    from tlx.data.splits.division import carve, carve_val

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
    rule = "official train, val and test splits of the table"
    return ImageSet(name, read.class_names, parts["train"], parts["val"], parts["test"], rule, notes)


def _split(read: Table, located: Located, part: str | None = None) -> Split:
    """Return the images of a split; None: all."""
    targets = {name: target for target, name in enumerate(read.class_names)}
    pairs = zip(located.rows, located.files, strict=True)
    return Split(
        [
            Sample(file, targets[row.label], legible(row.path), row.group)
            for row, file in pairs
            if part is None or row.split == part
        ]
    )
