"""Any images below a folder, without labels: a target domain."""

from __future__ import annotations

import os
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.base.legible import legible
from tlx.data.files.image_files import images_below, why_no_folder
from tlx.data.splits.division import divide, split_keys
from tlx.data.splits.samples import ImageSet, Sample, Split


def unlabelled(
    root: str | os.PathLike[str], *, name: str = "unlabelled", val_fraction: float = 0.2, split_seed: int = 0
) -> ImageSet:
    """Return the images below a folder at any depth: no classes, every target -1, no test split.

    Args:
        root: The folder; `~` is expanded.
        name: Name of the set.
        val_fraction: Fraction of them for the scores by which an adaptation selects.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such folder, or it holds fewer than two images.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise TlxError(f"expected a folder of images, got {folder}, which {why_no_folder(folder)}")
    paths = images_below(folder)
    if len(paths) < 2:
        raise TlxError(f"expected images below {folder}, got {len(paths)}")
    whole = Split([Sample(path, -1, legible(path.relative_to(folder))) for path in paths])
    parts = divide(split_keys(whole), [0] * len(paths), {"val": val_fraction}, split_seed)
    rule = f"no labels; val ({100 * val_fraction:g} %) carved by content, seed {split_seed}"
    train, val = (whole.take(parts[part]) for part in ("train", "val"))
    return ImageSet(name, [], train, val, Split([]), rule, carved=frozenset({"val"}))
