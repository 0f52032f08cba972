"""Sources -> samples -> batches: where images come from, how they are split, read, augmented and batched.

Names are imported on first use, so that `tlx.data.catalog` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tlx.building.listed import SOURCES

# A name here must not be that of a module beside it, which would take its place once imported.
_HOME = {
    "ImageDataModule": "datamodule",
    "ImageSet": "splits.samples",
    "Sample": "splits.samples",
    "Source": "sources.base",
    "SourceKeys": "sources.keys",
    "Split": "splits.samples",
    "find_images": "files.image_files",
    "leaks": "duplicates",
    "load_checked": "checked",
    "read_image": "reading.images",
}
# `folder`, `table`, …: a function beside the class of each source.
_HOME |= {
    target.rpartition(".")[2]: source.rpartition(".")[0].removeprefix(f"{__name__}.")
    for target, source in SOURCES.items()
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
