"""The number of training images of a set before it is loaded; large sets are only listed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tlx.base.errors import TlxError
from tlx.data.catalog import source_of
from tlx.data.checked import load_checked
from tlx.data.sources.base import OwnSource, Source

_LOADED = 5_000  # files; the contents of so many are compared in seconds, and only once


def training_images(node: Mapping[str, Any]) -> int | None:
    """Return how many images of a set train; None: it has to be downloaded first, is the user's own, or has a mistake.

    The number is exact if the set has at most 5,000 files. For others it is estimated from the number of files.

    Args:
        node: A composed dataset node.
    """
    source = source_of(node)
    if node.get("download") or isinstance(source, OwnSource):
        return None
    try:
        files = len([*source.file_names()])
        if files > _LOADED and not source.makes_crops:
            return _estimated(source, files)
        return len(load_checked({**node, "check": False}).splits["train"])
    except (TlxError, OSError, KeyError, TypeError, ImportError):  # training reports it
        return None


def _estimated(source: Source, files: int) -> int:
    node = source.node
    val = 0.0 if node.get("folds") else node.get("val_fraction") or 0
    images = files * (1 - val - (node.get("test_fraction") or 0)) * (1 - 1 / (node.get("folds") or math.inf))
    images *= node.get("fraction") or 1
    few = node.get("labels_per_class")
    return int(min(images, few * (source.num_classes() or 1)) if few else images)
