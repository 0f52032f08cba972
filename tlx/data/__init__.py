"""Data sets: where images come from, and how they are split, read, augmented and batched.

Names are imported on first use, so that `tlx.data.catalog` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlx.building.listed import SOURCES

if TYPE_CHECKING:
    from tlx.data.box_labels import Boxes, BoxLabels
    from tlx.data.checked import load_checked
    from tlx.data.datamodule import ImageDataModule
    from tlx.data.duplicates import leaks
    from tlx.data.files.image_files import find_images
    from tlx.data.mask_labels import MASKS, Mask
    from tlx.data.reading.images import read_image
    from tlx.data.sources.arrays import arrays
    from tlx.data.sources.base import Source
    from tlx.data.sources.boxes import boxes
    from tlx.data.sources.characters import letters, plates
    from tlx.data.sources.coco import coco
    from tlx.data.sources.digits import digits
    from tlx.data.sources.folder import folder
    from tlx.data.sources.keys import BoxKeys, CropKeys, ObjectKeys, RootKeys, SourceKeys
    from tlx.data.sources.masks import masks
    from tlx.data.sources.scenes import scenes
    from tlx.data.sources.table import table
    from tlx.data.sources.torchvision_sets import torchvision_set
    from tlx.data.sources.unlabelled import unlabelled
    from tlx.data.sources.voc import voc
    from tlx.data.sources.yolo import yolo
    from tlx.data.splits.samples import ImageSet, Sample, Split

# No name here may be that of a submodule: importing the submodule would replace it.
_HOME = {
    "MASKS": "mask_labels",
    "BoxKeys": "sources.keys",
    "BoxLabels": "box_labels",
    "Boxes": "box_labels",
    "CropKeys": "sources.keys",
    "ImageDataModule": "datamodule",
    "ImageSet": "splits.samples",
    "Mask": "mask_labels",
    "ObjectKeys": "sources.keys",
    "RootKeys": "sources.keys",
    "Sample": "splits.samples",
    "Source": "sources.base",
    "SourceKeys": "sources.keys",
    "Split": "splits.samples",
    "find_images": "files.image_files",
    "leaks": "duplicates",
    "load_checked": "checked",
    "read_image": "reading.images",
}
# `folder`, `table`, …: each source has a function in the module of its class.
_HOME |= {
    target.rpartition(".")[2]: source.rpartition(".")[0].removeprefix(f"{__name__}.")
    for target, source in SOURCES.items()
}

__all__ = [
    "MASKS",
    "BoxKeys",
    "BoxLabels",
    "Boxes",
    "CropKeys",
    "ImageDataModule",
    "ImageSet",
    "Mask",
    "ObjectKeys",
    "RootKeys",
    "Sample",
    "Source",
    "SourceKeys",
    "Split",
    "arrays",
    "boxes",
    "coco",
    "digits",
    "find_images",
    "folder",
    "leaks",
    "letters",
    "load_checked",
    "masks",
    "plates",
    "read_image",
    "scenes",
    "table",
    "torchvision_set",
    "unlabelled",
    "voc",
    "yolo",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
