"""All images below a folder, without labels, for a target domain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlx.base.errors import Mistake, TlxError
from tlx.base.legible import legible
from tlx.data.files.image_files import images_below, why_no_folder
from tlx.data.labels import CLASSES
from tlx.data.sources.base import Source
from tlx.data.sources.content import digest, size_of
from tlx.data.sources.keys import SourceKeys
from tlx.data.sources.set_folder import names_below, no_folder
from tlx.data.splits.samples import ImageSet, Sample, Split


@dataclass
class UnlabelledKeys(SourceKeys):
    """All images below a folder."""

    root: str = "???"


class UnlabelledSource(Source):
    """Images without labels."""

    keys = UnlabelledKeys

    def own_mistakes(self) -> list[Mistake]:
        """Return a mistake if the folder does not exist or contains no image."""
        if not self.is_set("root"):
            return []
        if missing := no_folder(self):
            return missing
        found = images_below(self.path("root"))
        return [] if found else [Mistake("dataset.root", "a folder of images", "one without images")]

    def content(self) -> dict[str, Any]:
        """Return a hash of the names, relative to `root`, and sizes of the images."""
        root = self.path("root")
        return {"content": digest(b"", [(str(p.relative_to(root)), size_of(p)) for p in images_below(root)])}

    def file_names(self) -> Iterator[str]:
        """Return the names of all files below `root`."""
        return names_below(self)

    def read(self) -> ImageSet:
        """Load the set with `unlabelled`."""
        return unlabelled(**self.arguments)


def unlabelled(
    root: str | os.PathLike[str], *, name: str = "unlabelled", val_fraction: float = 0.2, split_seed: int = 0
) -> ImageSet:
    """Return the images below a folder at any depth, with unknown labels, no classes and no test split.

    Args:
        root: The folder; `~` is expanded.
        name: Name of the set.
        val_fraction: Fraction of the images for the scores by which an adaptation selects.
        split_seed: Seed of the split.

    Raises:
        TlxError: The folder does not exist, or contains fewer than two images.
    """
    from tlx.data.splits.division import divide, split_keys

    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise TlxError(f"expected a folder of images, got {folder}, which {why_no_folder(folder)}")
    paths = images_below(folder)
    if len(paths) < 2:
        raise TlxError(f"expected at least two images below {folder}, got {len(paths)}")
    whole = Split([Sample(path, CLASSES.unknown, legible(path.relative_to(folder))) for path in paths])
    parts = divide(split_keys(whole), [()] * len(paths), {"val": val_fraction}, split_seed)
    rule = f"no labels; val ({100 * val_fraction:g} %) carved by content, seed {split_seed}"
    train, val = (whole.take(parts[part]) for part in ("train", "val"))
    return ImageSet(name, [], train, val, Split([]), rule, carved=frozenset({"val"}))
