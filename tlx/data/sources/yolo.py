"""Images with boxes in text files, as YOLO reads and Roboflow, CVAT and Label Studio write them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.printable import counted
from tlx.data.sources.box_listing import BoxedImage, BoxListing, case_notes, no_objects
from tlx.data.sources.box_repairs import WrittenBoxes
from tlx.data.sources.box_source import BoxedKeys, BoxSource, boxed_set
from tlx.data.sources.mask_listing import names_of
from tlx.data.sources.set_folder import set_folder
from tlx.data.sources.turns import Frame
from tlx.data.sources.yolo_data import YoloData, read_names
from tlx.data.sources.yolo_file import YoloFile, read_yolo
from tlx.data.sources.yolo_layout import YoloLayout, read_layout
from tlx.data.sources.yolo_oriented import are_oriented
from tlx.data.splits.samples import ImageSet


@dataclass
class YoloKeys(BoxedKeys):
    """Images with boxes in text files."""

    data: str | None = None


class YoloSource(BoxSource):
    """Images, each with a text file, or without one if it shows no object."""

    keys = YoloKeys
    own_keys = ("data",)

    def listing(self) -> BoxListing:
        """Return what the text files say."""
        return yolo_listing(self.path("root"), self.node.get("data"))

    def read(self) -> ImageSet:
        """Return what `yolo` returns."""
        return yolo(**self.arguments)


def yolo(
    root: str | os.PathLike[str],
    data: str | None = None,
    exif: Frame = None,
    group_pattern: str | None = None,
    test_fraction: float = 0.2,
    *,
    name: str = "yolo",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images below `root` with the boxes of their text files; outlines become boxes.

    The splits are those of `data.yaml`, of lists (`train.txt`) or of folders (`images/train`, `train/images`);
    otherwise they are carved, by content and group. An image without a text file shows no object.

    Args:
        root: The folder; `~` is expanded.
        data: The YAML file that names classes and splits, relative to `root`; None: `data.yaml`, or the one that fits.
            Without one, `classes.txt` or `obj.names` names the classes.
        exif: As what images with an EXIF orientation were when they were annotated; None: as shown.
        group_pattern: Regular expression that finds, in a path relative to `root`, what images share that must stay on
            one side of a split that is carved.
        test_fraction: Fraction of all images for the test split, where it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder, there are no images with labels, or the boxes are oriented.
    """
    listing = yolo_listing(Path(root).expanduser(), data)
    return boxed_set(listing, name, exif, group_pattern, (val_fraction, test_fraction), split_seed)


def yolo_listing(root: Path, data: str | None) -> BoxListing:
    """Find images and text files below a folder and read the latter.

    Raises:
        TlxError: As `yolo`.
    """
    root = set_folder(root, "images and text files")
    layout = read_layout(root, data)
    keypoints = layout.data is not None and layout.data.keypoints
    held = {one.image: read_yolo(one.labels, keypoints) for one in layout.images if one.labels is not None}
    _refuse_oriented(root, layout.data, held)
    if not any(one.boxes for one in held.values()):
        problems = [one.problem for one in held.values() if one.problem]
        expected = "objects (class, x, y, width, height, as fractions of the image) in text files"
        raise no_objects(root, expected, len(held), problems)
    names, notes = _names(layout, held)
    class_names = list(dict.fromkeys(names))
    numbers = [class_names.index(name) for name in names]
    empty = YoloFile()
    images = [
        BoxedImage(one.image, _written(held.get(one.image, empty), numbers), one.split, one.is_labelled)
        for one in layout.images
    ]
    outlines = sum(one.outlines for one in held.values())
    if outlines:
        notes.append(f"{counted(outlines, 'outline becomes a box', 'outlines become boxes')}")
    notes = [*layout.notes, *notes, *case_notes(class_names)]
    return BoxListing(root, class_names, images, layout.said, layout.split_by, tuple(notes))


def _refuse_oriented(root: Path, data: YoloData | None, held: Mapping[Path, YoloFile]) -> None:
    named = data is not None and data.task == "obb"
    if named or are_oriented(held.items()):
        count = counted(sum(len(one.corners) for one in held.values()), "oriented box", "oriented boxes")
        first = names_of([image for image, one in held.items() if one.corners][:1], root) or "data.yaml"
        raise TlxError(
            f"{root}: expected boxes (class, x, y, width, height) or outlines, got {count} (the corners of rotated "
            f"rectangles), such as those of {first}; export the set as YOLO without OBB"
        )


def _names(layout: YoloLayout, held: Mapping[Path, YoloFile]) -> tuple[list[str], list[str]]:
    """Return the class names by number, and remarks for the user."""
    if layout.data is not None and layout.data.names is not None:
        return [*layout.data.names], []
    if layout.names is not None:
        return [*read_names(layout.names)], []
    most = max(label for one in held.values() for label in one.classes)
    if most >= 10_000:
        raise TlxError(f"{layout.root}: expected a file of class names such as classes.txt, got none, and class {most}")
    return [str(number) for number in range(most + 1)], [
        "no file names the classes (data.yaml, classes.txt): their numbers are their names"
    ]


def _written(one: YoloFile, numbers: Sequence[int]) -> WrittenBoxes:
    unknown = next((label for label in one.classes if label >= len(numbers)), None)
    problem = one.problem
    if unknown is not None:
        problem = f"it has the class {unknown}, but there are {len(numbers)} names of classes, 0 to {len(numbers) - 1}"
    if problem is not None:
        return WrittenBoxes(problem=problem)
    return WrittenBoxes(one.boxes, tuple(numbers[label] for label in one.classes), relative=True)
