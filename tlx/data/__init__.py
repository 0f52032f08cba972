"""Sources -> samples -> batches: where images come from, how they are split, read, augmented and batched.

Names are imported on first use, so that `tlx.data.catalog` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# A name here must not be that of a module beside it, which would take its place once imported.
_HOME = {
    "arrays": "sources.array_sets",
    "ImageDataModule": "datamodule",
    "ImageSet": "splits.samples",
    "Sample": "splits.samples",
    "Split": "splits.samples",
    "digits": "sources.embedded",
    "find_images": "files.image_files",
    "folder": "sources.folders",
    "letters": "sources.characters",
    "leaks": "duplicates",
    "load_checked": "checked",
    "plates": "sources.characters",
    "read_image": "reading.images",
    "table": "sources.tables",
    "unlabelled": "sources.unlabelled_folders",
    "torchvision_set": "sources.torchvision_sets",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
