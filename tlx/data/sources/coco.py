"""Images with annotations in COCO's format, whose objects become masks or boxes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from tlx.base.errors import Mistake, TlxError
from tlx.base.printable import counted, enumerated
from tlx.data.box_labels import BoxLabels
from tlx.data.files.walk import descended
from tlx.data.labels import LabelKind
from tlx.data.mask_labels import MASKS
from tlx.data.sources.base import Source
from tlx.data.sources.box_listing import no_objects
from tlx.data.sources.coco_file import CocoFile, read_coco
from tlx.data.sources.coco_layout import CocoPart, find_parts, image_files
from tlx.data.sources.coco_repeats import FoundImages, each_once
from tlx.data.sources.content import digest, relative_name, size_of
from tlx.data.sources.keys import BoxKeys, Classes, ObjectKeys, RootKeys
from tlx.data.sources.mask_sets import BACKGROUND, two_names
from tlx.data.sources.set_folder import names_below, unread
from tlx.data.sources.turns import Frame
from tlx.data.splits.groups import groups_by_pattern
from tlx.data.splits.samples import ImageSet, Sample
from tlx.data.splits.typed_classes import class_called

_MOST_IN_MASKS = 254  # a mask holds a byte a pixel, and two values are for the background and ignored pixels
_OBJECT = "object"  # the only class of boxes with `masks=binary`


@dataclass
class CocoKeys(RootKeys, BoxKeys, ObjectKeys):
    """Images with annotations in COCO's format."""

    annotations: str | list[str] | None = None
    labels: Literal["masks", "boxes"] | None = "masks"
    masks: Literal["classes", "binary"] = "classes"
    classes: Classes | None = None
    exif: Frame = None


class CocoSource(Source):
    """Images whose objects have outlines, runs or boxes."""

    keys = CocoKeys
    gives: ClassVar[tuple[str, ...]] = (MASKS.name, BoxLabels.name)

    def __init__(self, node: Mapping[str, Any]) -> None:
        super().__init__(node)
        self._made = BoxLabels.name if self.makes_crops else self.labels

    def all_class_names(self) -> list[str] | None:
        """Return the categories; of masks the first class is `background`."""
        if not self.is_set("root"):
            return None
        held = [read_coco(part.file) for part in self._parts()]
        if self._made == BoxLabels.name:
            _need_objects(self.path("root"), held)
        return _classes(held, self.node.get("classes"), self.node.get("masks") == "binary", self._made)[0]

    def own_mistakes(self) -> list[Mistake]:
        """Return whether there is no such folder, and what is not understood of its annotations."""
        return unread(self, self.all_class_names, "images with annotations", ("annotations", "classes"))

    def content(self) -> dict[str, Any]:
        """Return a hash of the annotations, and of the names, relative to `root`, and sizes of the images."""
        root = descended(self.path("root"))
        parts = self._parts()
        images = (file for part in parts for file in image_files(root, part.file, read_coco(part.file)))
        said = b"".join(part.file.read_bytes() for part in parts)
        files = [(relative_name(file, root), size_of(file)) for file in images]
        named: Any = [relative_name(part.file, root) for part in parts]
        typed = self.node.get("annotations")
        named = None if typed is None else named[0] if isinstance(typed, str) else named
        return {"annotations": named, "content": digest(said, files)}

    def file_names(self) -> Iterator[str]:
        """Return the names of all files below `root`."""
        return names_below(self)

    def read(self) -> ImageSet:
        """Return what `coco` returns."""
        return coco(**{**self.arguments, "labels": self._made})

    def _parts(self) -> list[CocoPart]:
        return find_parts(self.path("root"), self.node.get("annotations"))


def coco(
    root: str | os.PathLike[str],
    annotations: str | Sequence[str] | None = None,
    masks: Literal["classes", "binary"] = "classes",
    classes: Sequence[int | float | str | bool | None] | None = None,
    exif: Frame = None,
    group_pattern: str | None = None,
    test_fraction: float = 0.2,
    labels: Literal["masks", "boxes"] | None = None,
    *,
    name: str = "coco",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return images with the masks or boxes of their objects.

    In masks, what is in no object is background, the first class; where objects overlap, the smaller one is on top. An
    object without a box has the one around its outlines or runs; a crowd is ignored. Files of annotations for train,
    val and test are the splits.

    Args:
        root: The folder of images and annotations; `~` is expanded.
        annotations: Files of annotations, relative to `root`; None: those whose names fit.
        masks: `binary`: all objects are one class, also of boxes.
        classes: The categories that are classes, in this order; other objects are background. None: all, by number.
        exif: As what images with an EXIF orientation were when they were annotated, where sizes leave that open.
        group_pattern: Regular expression that finds, in a path relative to `root`, what images share that must stay on
            one side of a split that is carved.
        test_fraction: Fraction of all images for the test split, where it is carved.
        labels: `masks` or `boxes`; None: masks.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder, or no annotations that are understood.
    """
    from tlx.data.sources.coco_boxes import boxed_objects
    from tlx.data.sources.coco_labelling import labelled_objects
    from tlx.data.sources.set_splits import image_set

    as_boxes = labels == BoxLabels.name
    folder = Path(root).expanduser()
    parts = find_parts(folder, annotations)
    inner = descended(folder)
    held = [read_coco(part.file) for part in parts]
    if as_boxes:
        _need_objects(folder, held)
    class_names, numbers = _classes(held, classes, masks == "binary", labels or MASKS.name)
    samples: dict[str | None, list[Sample]] = {}
    found = [
        FoundImages(part, own, tuple(image_files(folder, part.file, own)))
        for part, own in zip(parts, held, strict=True)
    ]
    listed, notes = each_once(found, inner)
    for one in listed:
        part, content, files = one.part, one.held, one.files
        names = [relative_name(file, inner) for file in files]
        groups = [None] * len(names) if group_pattern is None else groups_by_pattern(names, group_pattern)
        if as_boxes:
            boxes, remarks = boxed_objects(content, files, names, numbers, exif)
            samples[part.split] = [Sample(*one) for one in zip(files, boxes, names, groups, strict=True)]
        else:
            drawn, remarks = labelled_objects(part.file, content, files, names, numbers, exif)
            samples[part.split] = [Sample(*one) for one in zip(files, drawn, names, groups, strict=True)]
        notes += remarks
    kind: LabelKind = MASKS
    if as_boxes:
        kind = BoxLabels(max((len(one.target) for split in samples.values() for one in split), default=0))
    fractions = val_fraction, test_fraction
    images = image_set(name, class_names, samples, "files of annotations", fractions, split_seed, kind)
    notes = [*images.notes, *dict.fromkeys(notes), *_not_used(held, as_boxes)]
    rule = images.rule if as_boxes else f"{images.rule}; objects drawn, the smaller on top"
    return replace(images, rule=rule, notes=tuple(notes))


def _need_objects(root: Path, held: Sequence[CocoFile]) -> None:
    images = [image for content in held for image in content.images]
    if images and not any(image.objects for image in images):
        raise no_objects(root, "objects (annotations with a bbox)", len(images), (), ("image", "images"))


def _not_used(held: Sequence[CocoFile], as_boxes: bool) -> Iterator[str]:
    """Yield which objects are left out, without a shape or an image, and for boxes which names are no classes."""
    objects = [one for content in held for image in content.images for one in image.objects]
    if as_boxes:
        bare = sum(one.box is None and not one.has_mask for one in objects)
        what = "no box and no outline, and left out"
        parents = dict.fromkeys(name for content in held for name in content.parents)
        if found := [name for name in parents if all(name not in content.categories for content in held)]:
            yield f"no class, because it has no objects and only stands above others: {enumerated(found)}"
    else:
        bare = sum(not one.has_mask for one in objects)
        what = "a box and no outline, and left out of the masks (task=detection learns from boxes)"
    if bare:
        yield f"{counted(bare, 'object has', 'objects have')} {what}"
    unlisted = [one for content in held for one in content.unlisted.items()]
    if unlisted:
        lost = counted(sum(count for _, count in unlisted), "object", "objects")
        images = counted(len(unlisted), "image that is", "images that are")
        yield f"left out, {lost} of {images} not listed: image_id {enumerated([name for name, _ in unlisted], 3)}"


def _classes(
    held: Sequence[CocoFile], chosen: Sequence[Any] | None, binary: bool, labels: str
) -> tuple[list[str], dict[str, int]]:
    """The class names, and the class of each category; of masks, categories that have none are background."""
    all_names = list(dict.fromkeys(name for content in held for name in content.categories))
    names = all_names if chosen is None else [class_called(name, all_names) for name in chosen]
    unknown = [name for name in names if name not in (*all_names, BACKGROUND)]
    as_boxes = labels == BoxLabels.name
    if unknown or len(set(names)) < len(names) or (len(names) > _MOST_IN_MASKS and not as_boxes):
        most = "" if as_boxes else f"at most {_MOST_IN_MASKS} "
        expected = f"{most}different categories of {', '.join(all_names[:40])}"
        raise TlxError(f"dataset.classes: expected {expected}, got {', '.join(names[:40])}")
    names = [name for name in names if name != BACKGROUND]
    if not names:
        raise TlxError("dataset.classes: expected categories of objects, got none")
    if as_boxes:
        return ([_OBJECT], dict.fromkeys(names, 0)) if binary else (names, {name: i for i, name in enumerate(names)})
    if binary:
        return two_names(None), dict.fromkeys(names, 1)
    return [BACKGROUND, *names], {name: place for place, name in enumerate(names, start=1)}
