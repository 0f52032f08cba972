"""A page of sample images with their boxes, as a picture; torch is not needed for images in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from tlx.base.errors import TlxError
from tlx.base.files import writing
from tlx.base.legible import legible
from tlx.base.printable import counted, one_line
from tlx.data.box_labels import Boxes, BoxLabels
from tlx.data.checked import CheckedSet
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import Window
from tlx.data.splits.samples import ImageSet, Sample, Split
from tlx.measures.box_drawing import DrawnBox, with_boxes
from tlx.measures.colours import distinct_colour
from tlx.measures.sheet import contact_sheet

SHOWN = {"train": 16, "val": 4, "test": 4}  # images of each split
_COLUMNS, _SIDE = 4, 400  # images in a row; pixels of the longer side of each
_MARK = ("Software", "tlx check")  # in the file, so that no other picture is replaced


def no_boxes(labels: str) -> TlxError:
    """Return the error for a set whose labels are no boxes."""
    return TlxError(f"--pictures: expected a data set with boxes, got labels that are {labels}; type task=detection")


def refuse_picture(path: Path) -> None:
    """Refuse a path to which no page can be written, before files are opened.

    Raises:
        TlxError: It is no PNG, its folder does not exist, or another file has its name.
    """
    named = f"--pictures: expected a new file such as samples.png, got '{one_line(path)}'"
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise TlxError(f"{named}; name a PNG in a folder that exists")
    if path.exists() or path.is_symlink():
        try:
            with Image.open(path) as there:
                is_ours = there.info.get(_MARK[0]) == _MARK[1] and not path.is_symlink()
        except OSError:
            is_ours = False
        if not is_ours:
            raise TlxError(f"{named}, which tlx check did not write; remove it, or name another file")


def write_sample_page(checked: CheckedSet, path: Path) -> int:
    """Write a page of images of all splits with their boxes; return the number of images.

    The choice is fixed: images evenly spaced in the order of the split. The boxes of ignored objects are dashed.

    Raises:
        TlxError: The labels are not boxes, or the page cannot be written there.
    """
    images = checked.images
    if not isinstance(images.labels, BoxLabels):
        raise no_boxes(images.labels.name)
    refuse_picture(path)
    window = checked.node.get("window")
    cells = [
        _cell(part, images, split, sample, window)
        for part, split in images.splits.items()
        for sample in _spaced(split, SHOWN[part])
    ]
    page = contact_sheet(cells, _COLUMNS, _SIDE)
    note = PngImagePlugin.PngInfo()
    note.add_text(*_MARK)
    with writing(path) as file:
        Image.fromarray(page).save(file, format="PNG", pnginfo=note)
    return len(cells)


def _spaced(split: Split, most: int) -> list[Sample]:
    count = min(most, len(split))
    return [split.samples[i * len(split) // count] for i in range(count)]


def _cell(part: str, images: ImageSet, split: Split, sample: Sample, window: Window | None) -> tuple[str, np.ndarray]:
    """Return a caption, and an image with its boxes, uint8 (h, w, 3)."""
    pixels, label = _pixels(split, sample, window), sample.target
    name = sample.name.rpartition("/")[2]
    caption = f"{part}: {name}, {pixels.shape[1]} x {pixels.shape[0]}, {counted(len(label), 'box', 'boxes')}"
    return legible(caption), with_boxes(pixels, _drawn(label, images.class_names), _SIDE, _SIDE)


def _drawn(label: Boxes, class_names: list[str]) -> list[DrawnBox]:
    """Return the boxes to draw, the smallest first: they lie on top."""
    found = []
    for box, one, ignored in zip(label.boxes(), label.classes, label.ignored, strict=True):
        area = (box[2] - box[0]) * (box[3] - box[1])
        found.append((area, DrawnBox(box, distinct_colour(one), legible(class_names[one]), bool(ignored))))
    return [drawn for _, drawn in sorted(found, key=lambda pair: pair[0])]


def _pixels(split: Split, sample: Sample, window: Window | None) -> np.ndarray:
    """Return an image, uint8 (H, W, 3)."""
    if isinstance(sample.source, Path):
        return read_pixels(sample.source, window=window)
    assert split.pixels is not None
    planes: np.ndarray = split.pixels[sample.source].numpy()[:3]
    return np.ascontiguousarray((planes if len(planes) == 3 else planes[[0, 0, 0]]).transpose(1, 2, 0))
