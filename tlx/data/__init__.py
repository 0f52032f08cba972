"""Sources -> samples -> batches: where images come from, how they are split, read, augmented and batched.

Names are imported on first use, so that `tlx.data.catalog` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# A name here must not be that of a module beside it, which would take its place once imported.
_HOME = {
    "arrays": "array_sets",
    "ImageDataModule": "datamodule",
    "ImageSet": "samples",
    "Sample": "samples",
    "Split": "samples",
    "digits": "embedded",
    "find_images": "image_files",
    "folder": "folders",
    "letters": "characters",
    "leaks": "duplicates",
    "load_checked": "checked",
    "plates": "characters",
    "read_image": "images",
    "table": "tables",
    "unlabelled": "unlabelled_folders",
    "torchvision_set": "torchvision_sets",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
