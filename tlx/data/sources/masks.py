"""Images with masks: a class for each pixel. `tlx.data.sources.mask_layout` says which layouts are understood."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tlx.base.errors import Mistake, TlxError
from tlx.base.printable import one_line
from tlx.data.mask_labels import MASKS
from tlx.data.sources.base import Source
from tlx.data.sources.content import digest, relative_name, size_of
from tlx.data.sources.keys import CropKeys, RootKeys
from tlx.data.sources.mask_classes import ClassMap, Value, read_map, typed_map, typed_path, value_of
from tlx.data.sources.mask_layout import MaskLayout, read_mask_layout
from tlx.data.sources.mask_sets import CITYSCAPES, VOC, outline_classes, two_names
from tlx.data.sources.set_folder import names_below, unread
from tlx.data.sources.turns import Frame
from tlx.data.splits.groups import groups_by_pattern
from tlx.data.splits.samples import ImageSet, Sample

MaskClasses = str | Sequence[Any] | Mapping[Any, Any]


@dataclass
class MasksKeys(RootKeys, CropKeys):
    """A folder of images and masks."""

    image_folder: str | None = None
    mask_folder: str | None = None
    masks: str = "classes"
    classes: str | dict[Any, Any] | list[Any] | None = None
    ignore: list[int | str] | None = None
    exif: Frame = None


class MasksSource(Source):
    """Images with a mask each."""

    keys = MasksKeys
    labels = MASKS.name

    def all_class_names(self) -> list[str] | None:
        """Return the names that are typed, stand in a file, or belong to a known set; None: only masks tell."""
        if not self.is_set("root"):
            return None
        layout = self._layout()
        known = known_classes(layout, self.node.get("classes"), self.path("root"))
        return names_before(layout, known, self.node.get("masks") == "binary")

    def own_mistakes(self) -> list[Mistake]:
        """Return whether there is no such folder, and what is not understood of its layout and classes."""
        masks = self.node.get("masks", "classes")
        if masks not in ("classes", "binary"):
            hint = f"a folder of masks: dataset.mask_folder={masks}"
            return [Mistake("dataset.masks", "classes or binary", f"'{masks}'", hint)]

        def understood() -> None:
            layout = self._layout()
            known_classes(layout, self.node.get("classes"), self.path("root"))
            ignored_values(self.node.get("ignore"))
            if self.node.get("group_pattern") is not None:
                _grouped(layout, self.node["group_pattern"])

        keys = ("classes", "ignore", "group_pattern", "mask_folder", "image_folder")
        return unread(self, understood, "images with a mask each", keys)

    def content(self) -> dict[str, Any]:
        """Return a hash of the names, relative to `root`, and sizes of images, masks, and what says what they are."""
        root = self.path("root")
        layout = self._layout()
        classes = self.node.get("classes")
        file = [typed_path(classes, root)] if isinstance(classes, str) else [layout.class_file]
        said = b"".join(path.read_bytes() for path in (*file, *layout.lists) if path is not None)
        named = {
            key: _named(self.path(key), layout.root) for key in ("image_folder", "mask_folder") if self.is_set(key)
        }
        if isinstance(classes, str):
            named["classes"] = relative_name(typed_path(classes, root), layout.root)
        files = [(relative_name(path, layout.root), size_of(path)) for path in layout.files]
        return {**named, "content": digest(said, files)}

    def file_names(self) -> Iterator[str]:
        """Return the names of all files below `root`."""
        return names_below(self)

    def read(self) -> ImageSet:
        """Return what `masks` returns."""
        return masks(**self.arguments)

    def _layout(self) -> MaskLayout:
        return read_mask_layout(self.node["root"], self.node.get("image_folder"), self.node.get("mask_folder"))


def masks(
    root: str | os.PathLike[str],
    image_folder: str | None = None,
    mask_folder: str | None = None,
    masks: Literal["classes", "binary"] = "classes",
    classes: MaskClasses | None = None,
    ignore: Sequence[Value] | None = None,
    exif: Frame = None,
    group_pattern: str | None = None,
    test_fraction: float = 0.2,
    *,
    name: str = "masks",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images below `root` with their masks; all files are opened, unless an earlier call did.

    Splits that have folders or lists are used as they are; otherwise they are carved, by content and group.

    Args:
        root: The folder; `~` is expanded.
        image_folder: Folder of the images, see `tlx.data.sources.mask_layout.read_mask_layout`.
        mask_folder: Folder of the masks.
        masks: `binary`: all values of a mask but the background's are one class, such as numbers of objects.
        classes: Names of the classes, value: name, or the path of a file that says so; None: a file of the set, or the
            values of the masks.
        ignore: Values that count nowhere; None: 255 in a palette, and beside small numbers.
        exif: As what images with an EXIF orientation were when their masks were drawn, where sizes leave that open.
        group_pattern: Regular expression that finds, in a path relative to `root`, what images share that must stay on
            one side of a split that is carved.
        test_fraction: Fraction of all images for the test split, where it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder, its layout is not understood, or the values of its masks are no classes.

    Examples:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from tlx.data import masks
        >>> for folder in ("cells/images", "cells/masks"):
        ...     Path(folder).mkdir(parents=True)
        >>> for i in range(10):
        ...     Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(f"cells/images/{i}.png")
        ...     Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(f"cells/masks/{i}.png")
        >>> images = masks("cells")
        >>> images.class_names
        ['background', 'foreground']
        >>> images.train.samples[0].target.read()[:2]
        array([[1, 0, 0, 0, 0, 0, 0, 0],
               [0, 1, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    from tlx.data.sources.mask_labelling import labelled
    from tlx.data.sources.set_splits import image_set

    layout = read_mask_layout(root, image_folder, mask_folder)
    known = known_classes(layout, classes, Path(root).expanduser())
    names = [[relative_name(file, layout.root) for file in (pair.image, *pair.masks)] for pair in layout.pairs]
    try:
        found = labelled(layout.pairs, names, known, ignored_values(ignore), masks == "binary", exif)
    except TlxError as error:
        raise TlxError(f"dataset '{one_line(name)}': {error}") from error
    groups = [None] * len(names) if group_pattern is None else _grouped(layout, group_pattern)
    parts: dict[str | None, list[Sample]] = {}
    for pair, target, own, group in zip(layout.pairs, found.masks, names, groups, strict=True):
        parts.setdefault(pair.split, []).append(Sample(pair.image, target, own[0], group))
    split_by, fractions = "lists" if layout.lists else "folders", (val_fraction, test_fraction)
    images = image_set(name, found.class_names, parts, split_by, fractions, split_seed, MASKS)
    rule = f"{images.rule}; {layout.said}; {found.said}"
    return replace(images, rule=rule, notes=(*layout.notes, *found.notes))


def known_classes(layout: MaskLayout, classes: Any, root: Path) -> ClassMap | None:
    """Return what is known of the classes before a mask is opened: typed, from a file, or of a set known by its layout.

    Raises:
        TlxError: It is not understood.
    """
    if classes is not None:
        return typed_map(classes, root)
    if layout.class_file is not None:
        return read_map(layout.class_file)
    return {"voc": VOC, "cityscapes": CITYSCAPES}.get(layout.form)


def names_before(layout: MaskLayout, known: ClassMap | None, binary: bool) -> list[str] | None:
    """Return the class names as far as they are known before a mask is opened."""
    if binary:
        return two_names(known)
    if known is None:
        return None
    return outline_classes(known)[0] if layout.outlines else list(known.names)


def ignored_values(ignore: Sequence[Value] | None) -> list[Value] | None:
    """Return the values of `dataset.ignore`, colours as `#rrggbb`.

    Raises:
        TlxError: One is no number, colour or label.
    """
    return None if ignore is None else [value_of(value, "dataset.ignore") for value in ignore]


def _named(folder: Path, root: Path) -> str:
    """Return the name by which a run knows a folder, wherever the set is: relative to its root, or its last part."""
    if not folder.is_absolute():
        return str(folder)
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else folder.name


def _grouped(layout: MaskLayout, pattern: str) -> list[str | None]:
    return [*groups_by_pattern([relative_name(pair.image, layout.root) for pair in layout.pairs], pattern)]
