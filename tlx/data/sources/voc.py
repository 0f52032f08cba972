"""Images with boxes in XML files, as VOC, labelImg, CVAT and Roboflow write them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.base.printable import counted, enumerated
from tlx.data.sources.box_listing import BoxedImage, BoxListing, case_notes, no_objects, split_of_folders
from tlx.data.sources.box_repairs import WrittenBoxes
from tlx.data.sources.box_source import BoxedKeys, BoxSource, boxed_set
from tlx.data.sources.file_index import FileIndex
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.mask_names import stem_of
from tlx.data.sources.official_splits import official
from tlx.data.sources.set_folder import images_and, set_folder
from tlx.data.sources.split_lists import read_lists
from tlx.data.sources.turns import Frame
from tlx.data.sources.voc_file import VocFile, read_voc
from tlx.data.splits.samples import ImageSet

Labels = dict[Path, list[tuple[Path, VocFile]]]  # image -> its files of labels


@dataclass
class VocKeys(BoxedKeys):
    """Images with boxes in XML files."""

    voc_one_based: bool = False


class VocSource(BoxSource):
    """Images, each with an XML file."""

    keys = VocKeys

    def listing(self) -> BoxListing:
        """Return what the XML files say."""
        return voc_listing(self.path("root"), bool(self.node.get("voc_one_based")))

    def read(self) -> ImageSet:
        """Return what `voc` returns."""
        return voc(**self.arguments)


def voc(
    root: str | os.PathLike[str],
    voc_one_based: bool = False,
    exif: Frame = None,
    group_pattern: str | None = None,
    test_fraction: float = 0.2,
    *,
    name: str = "voc",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images below `root` with the boxes of their XML files; objects marked as difficult are ignored.

    The splits are lists (`ImageSets/Main/train.txt`) or folders (`train`, `valid`, `test`); otherwise they are carved,
    by content and group. An image without an XML file is a mistake, like a broken image.

    Args:
        root: The folder; `~` is expanded.
        voc_one_based: Whether the first pixel is 1 and right and bottom are the last pixels of a box, as in VOC's own
            set: left and top are then reduced by 1.
        exif: As what images with an EXIF orientation were when they were annotated, where sizes leave that open.
        group_pattern: Regular expression that finds, in a path relative to `root`, what images share that must stay on
            one side of a split that is carved.
        test_fraction: Fraction of all images for the test split, where it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder, or there are no images with annotations of this kind.
    """
    listing = voc_listing(Path(root).expanduser(), voc_one_based)
    return boxed_set(listing, name, exif, group_pattern, (val_fraction, test_fraction), split_seed)


def voc_listing(root: Path, one_based: bool) -> BoxListing:
    """Find images and XML files below a folder and read the latter.

    Raises:
        TlxError: As `voc`.
    """
    root = set_folder(root, "images and XML files")
    images, files = images_and(root, (".xml",))
    held = {file: read_voc(file) for file in files}
    _refuse(root, images, held)
    labels, notes = _labels(root, images, held)
    if not labels:
        first = next(file for file, one in held.items() if one.kind in ("annotation", ""))
        inside = f", which names {legible(held[first].file_name)}" if held[first].file_name else ""
        got = f"none of the same name: the first file is {legible(first.name)}{inside}"
        raise TlxError(f"{root}: expected images that the XML files belong to, got {got}")
    lists = read_lists(root, images, "Main", whole="trainval")
    used = {image.parent for image in labels}
    listed = {stem for _, stems in lists.values() for stem in stems}
    others = [image for image in images if image.parent not in used and stem_of(image.name) not in listed]
    if others:
        count = counted(len(others), "image", "images")
        notes.append(f"left out, {count} in folders without annotations: {names_of(others, root)}")
    own = sorted({*images} - {*others}, key=str)
    class_names = sorted({name for found in labels.values() for _, one in found for name in one.names})
    if not class_names:
        problems = [one.problem for one in held.values() if one.problem]
        raise no_objects(root, "objects (<object>, with <name> and <bndbox>) in XML files", len(held), problems)
    numbers = {name: number for number, name in enumerate(class_names)}
    splits = split_of_folders(own, root)
    made = [
        BoxedImage(image, _written(labels.get(image, []), numbers, one_based), splits[image.parent], image in labels)
        for image in own
    ]
    placed, more = official(made, lists, root, "an annotation")
    places = enumerated(sorted({file.parent.name for found in labels.values() for file, _ in found}), 3)
    said = f"XML files in {legible(places)}"
    split_by = "lists" if lists else "folders"
    return BoxListing(root, class_names, placed, said, split_by, (*notes, *more, *case_notes(class_names)))


def _refuse(root: Path, images: Sequence[Path], held: Mapping[Path, VocFile]) -> None:
    kinds = {one.kind for one in held.values()}
    if images and "annotation" in kinds:
        rotated = [file for file, one in held.items() if one.oriented]
        if rotated:
            raise TlxError(
                f"{root}: expected boxes with edges along the image, got oriented boxes (robndbox) in "
                f"{counted(len(rotated), 'file', 'files')}: {names_of(rotated, root)}; export them as boxes"
            )
        return
    got = "no images" if not images else "no XML files" if not held else "XML files of another kind"
    if images and "annotations" in kinds:
        got = "a file of CVAT for images; export the set as 'PASCAL VOC' or 'COCO'"
    elif kinds == {""}:
        got = next(iter(held.values())).problem or got
    raise TlxError(f"{root}: expected images and XML files such as Annotations/1.xml in VOC's format, got {got}")


def _labels(root: Path, images: Sequence[Path], held: Mapping[Path, VocFile]) -> tuple[Labels, list[str]]:
    """Return each image with its files of labels, and remarks on those that fit no image."""
    index = FileIndex(images, root)
    labels: Labels = defaultdict(list)
    orphans, others = [], []
    for file, one in held.items():
        if one.kind not in ("annotation", ""):
            continue
        image = index.of_file(file, one.file_name)
        if image is None:
            orphans.append(file)
            continue
        labels[image].append((file, one))
        same = not one.file_name or stem_of(one.file_name) == stem_of(image.name)
        inside = None if same else index.called(one.file_name, file.parent)
        if inside is not None and stem_of(inside.name) != stem_of(image.name):
            others.append(file)
    notes = []
    if orphans:
        notes.append(f"left out, {counted(len(orphans), 'annotation', 'annotations')} without an image: ")
        notes[-1] += names_of(orphans, root)
    if others:
        count = counted(len(others), "annotation names", "annotations name")
        notes.append(f"{count} another image inside; the names of the files decide: {names_of(others, root)}")
    return labels, notes


def _written(found: Sequence[tuple[Path, VocFile]], numbers: Mapping[str, int], one_based: bool) -> WrittenBoxes:
    if len(found) != 1:
        names = enumerated(sorted(legible(file.name) for file, _ in found), 3)
        return WrittenBoxes(problem=f"it has {len(found)} annotations: {names}" if found else "it has no annotation")
    one = found[0][1]
    boxes = one.boxes
    if one_based:
        boxes = tuple((left - 1, top - 1, right, bottom) for left, top, right, bottom in boxes)
    classes = tuple(numbers[name] for name in one.names)
    return WrittenBoxes(boxes, classes, one.difficult, one.size, problem=one.problem)
