"""Images with boxes in tables: a row for each box."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import counted, enumerated
from tlx.data.sources.box_listing import BoxedImage, BoxListing, case_notes
from tlx.data.sources.box_repairs import WrittenBoxes
from tlx.data.sources.box_source import BoxedKeys, BoxSource, boxed_set
from tlx.data.sources.box_table import BoxRow, BoxTable
from tlx.data.sources.box_tables import find_tables, read_class_file
from tlx.data.sources.file_index import FileIndex
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.official_splits import official
from tlx.data.sources.overlap import apart
from tlx.data.sources.set_folder import images_and, set_folder
from tlx.data.sources.split_folders import SPLIT_NAMES
from tlx.data.sources.turns import Frame
from tlx.data.splits.samples import ImageSet


@dataclass
class BoxesKeys(BoxedKeys):
    """Images with boxes in tables."""

    tables: str | list[str] | None = None
    columns: dict[str, str | None] | None = None


class BoxesSource(BoxSource):
    """Images listed in tables of boxes."""

    keys = BoxesKeys
    own_keys = ("tables", "columns")

    def listing(self) -> BoxListing:
        """Return what the tables say."""
        return boxes_listing(self.path("root"), self.node.get("tables"), self.node.get("columns"))

    def read(self) -> ImageSet:
        """Return what `boxes` returns."""
        return boxes(**self.arguments)


def boxes(
    root: str | os.PathLike[str],
    tables: str | Sequence[str] | None = None,
    columns: Mapping[str, str | None] | None = None,
    exif: Frame = None,
    group_pattern: str | None = None,
    test_fraction: float = 0.2,
    *,
    name: str = "boxes",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images that tables list, with their boxes.

    Tables for train, val and test (`train_labels.csv`, `valid/_annotations.csv`), or a column `split`, are the splits;
    otherwise they are carved, by content and group. A row with an image and no box is an image without objects.

    Args:
        root: The folder of images and tables; `~` is expanded.
        tables: The CSV files, relative to `root`; None: those below `root` that have a row for each box.
        columns: Role (`tlx.data.sources.box_columns.ROLES`) -> name of its column, for those that are not recognised.
        exif: As what images with an EXIF orientation were when they were annotated, where sizes leave that open.
        group_pattern: Regular expression that finds, in a path relative to `root`, what images share that must stay on
            one side of a split that is carved.
        test_fraction: Fraction of all images for the test split, where it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder or no such table, or a table puts an image into two splits.
    """
    listing = boxes_listing(Path(root).expanduser(), tables, columns)
    return boxed_set(listing, name, exif, group_pattern, (val_fraction, test_fraction), split_seed)


def boxes_listing(
    root: Path, tables: str | Sequence[str] | None, columns: Mapping[str, str | None] | None
) -> BoxListing:
    """Read the tables and find their images.

    Raises:
        TlxError: As `boxes`.
    """
    root = set_folder(root, "images and tables")
    images, files = images_and(root, (".csv", ".txt", ".tsv"))
    found = find_tables(root, [file for file in files if file.suffix.lower() == ".csv"], tables, columns)
    class_names, called = read_class_file(root, files, found)
    numbers = {name: number for number, name in enumerate(class_names)}
    index = FileIndex(images, root)
    known: dict[tuple[str, Path, str | None], Path] = {}
    rows: dict[Path, dict[str | None, list[tuple[BoxTable, BoxRow]]]] = {}
    for table, split in found:
        for row in table.rows:
            folder, own = table.path.parent, _split(table, row) or split
            image = known.get((row.file, folder, own))
            if image is None:
                image = index.called(row.file, folder, own) or folder / row.file.replace("\\", "/")
                known[row.file, folder, own] = image
            rows.setdefault(image, {}).setdefault(own, []).append((table, row))
    if not any(image.is_file() for image in rows):
        listed = enumerated([legible(file) for file in dict.fromkeys(file for file, *_ in known)], 3)
        raise TlxError(f"{root}: expected the images of {legible(found[0][0].path.name)}, got none of {listed}")
    splits, overlaps = _splits(rows, root)
    made = [
        BoxedImage(image, _written(own[splits[image]], numbers, called), splits[image])
        for image, own in sorted(rows.items(), key=lambda pair: str(pair[0]))
    ]
    placed, notes = official(made, {}, root, "a row")
    notes += overlaps
    unlisted = [image for image in images if image not in rows]
    if unlisted:
        notes.append(f"left out, {counted(len(unlisted), 'image', 'images')} in no table: {names_of(unlisted, root)}")
    names = enumerated(sorted({legible(table.path.name) for table, _ in found}), 3)
    split_by = "tables" if any(split for _, split in found) else "the column of splits"
    said = f"boxes of {names}"
    if readings := " or ".join(sorted({table.reading for table, _ in found} - {""})):
        said += f", where {readings}"
    return BoxListing(root, class_names, placed, said, split_by, (*notes, *case_notes(class_names)))


def _splits(
    rows: Mapping[Path, Mapping[str | None, Sequence[tuple[BoxTable, BoxRow]]]], root: Path
) -> tuple[dict[Path, str | None], list[str]]:
    """Return the split of each image, and remarks on images that the tables of several splits list.

    Raises:
        TlxError: Rows of one table put an image into several splits.
    """
    found = {image: next(iter(own)) for image, own in rows.items()}
    several = {image: own for image, own in rows.items() if len(own) > 1}
    if not several:
        return found, []
    for image, own in several.items():
        tables = [{table.path for table, _ in listed} for listed in own.values()]
        if None in own or len(set().union(*tables)) < sum(map(len, tables)):
            both = enumerated([split or "none" for split in own])
            path = own[next(iter(own))][0][0].path
            raise TlxError(f"{path}: expected each image in one split, got {legible(image.name)} in {both}")
    parts = {part: [image for image, own in rows.items() if part in own] for part in ("train", "val", "test")}
    kept, notes = apart(parts, root)
    return found | {image: part for part, images in kept.items() for image in images}, notes


def _split(table: BoxTable, row: BoxRow) -> str | None:
    if not row.split:
        return None
    part = SPLIT_NAMES.get(row.split.lower())
    if part is None:
        column = table.columns["split"]
        got = f"'{legible(row.split)}' for {legible(row.file)}"
        raise TlxError(f"{table.path}: expected train, val or test in the column '{column}', got {got}")
    return part


def _written(
    own: Sequence[tuple[BoxTable, BoxRow]], numbers: Mapping[str, int], called: Mapping[str, str]
) -> WrittenBoxes:
    """Return the objects of an image from its rows."""
    problem = next((row.problem for _, row in own if row.problem), None)
    sizes = {row.size for _, row in own if 0 not in row.size}
    if problem is None and len(sizes) > 1:
        named = " and ".join(f"{width} x {height}" for width, height in sorted(sizes))
        problem = f"its rows name different sizes: {named} pixels"
    objects = [(row.box, called.get(row.label, row.label), row.ignored) for _, row in own if row.box is not None]
    unknown = next((label for _, label, _ in objects if label not in numbers), None)
    if problem is None and unknown is not None:
        problem = f"it has the class '{unknown}', which the file of classes does not name"
    if problem is not None:
        return WrittenBoxes(problem=problem)
    return WrittenBoxes(
        tuple(box for box, _, _ in objects),
        tuple(numbers[label] for _, label, _ in objects),
        tuple(flag for _, _, flag in objects),
        next(iter(sizes), (0, 0)),
        any(table.relative for table, _ in own),
    )
