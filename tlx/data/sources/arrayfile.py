"""What a .npz file holds, without its images: its splits, its labels, its class names. NumPy on first use."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tlx.base.errors import TlxError
from tlx.base.machine import memory_available
from tlx.data.files.image_files import closest_file

if TYPE_CHECKING:
    import numpy as np

_PATTERNS = (("{}_images", "{}_labels"), ("x_{}", "y_{}"))
_WHOLE = ("images", "labels")
_NAMES = "class_names"


def members(file: Path) -> dict[str, tuple[str, str]]:
    """Return split -> names of its arrays of images and of labels; a set that is not divided is all `train`.

    Raises:
        TlxError: There is no such file, it is no .npz file, or its arrays have other names.
    """
    if not file.is_file():
        raise TlxError(f"expected a .npz file, got {file}, which does not exist; {closest_file(file)}".rstrip("; "))
    try:
        with zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise TlxError(f"expected a .npz file, got {file}: {error}") from error
    for images, labels in _PATTERNS:
        found = {part: (images.format(part), labels.format(part)) for part in ("train", "val", "test")}
        found = {part: pair for part, pair in found.items() if set(pair) <= names}
        if "train" in found:
            return found
    if set(_WHOLE) <= names:
        return {"train": _WHOLE}
    expected = "train_images and train_labels, x_train and y_train, or images and labels"
    raise TlxError(f"{file}: expected arrays {expected}, got {', '.join(sorted(names)) or 'none'}")


def read_labels(file: Path) -> dict[str, np.ndarray]:
    """Return split -> labels (N,), int64.

    Raises:
        TlxError: See `members`; or labels are no whole numbers, one an image.
    """
    import numpy as np

    labels = {}
    for part, (_, member) in members(file).items():
        values = read_array(file, member)
        flat = values.reshape(-1)
        if len(flat) != len(values) or not np.issubdtype(values.dtype, np.integer):
            expected = "whole numbers (N,) or (N, 1), one label an image"
            raise TlxError(f"{file}, {member}: expected {expected}, got {values.dtype} {values.shape}")
        labels[part] = flat.astype(np.int64)
    return labels


def class_names_of(file: Path) -> list[str]:
    """Return the class names of a file, in the order of targets."""
    changed = file.stat().st_mtime_ns if file.is_file() else 0
    return list(_class_names(file, changed))


@lru_cache(maxsize=8)
def _class_names(file: Path, changed: int) -> tuple[str, ...]:
    used = sorted({label for labels in read_labels(file).values() for label in labels.tolist()})
    try:
        names = [str(name) for name in read_array(file, _NAMES).tolist()]
    except KeyError:
        return tuple(str(label) for label in used)
    if used and not 0 <= used[0] <= used[-1] < len(names):
        raise TlxError(f"{file}: expected labels from 0 to {len(names) - 1}, places in {_NAMES}, got {used[-1]}")
    return tuple(names)


def read_array(file: Path, member: str) -> np.ndarray:
    """Return an array of a .npz file.

    Raises:
        KeyError: There is none of that name.
        TlxError: It is damaged, larger than the memory that is free, or holds objects, which could run code.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {one.filename.removesuffix(".npy"): one.file_size for one in archive.infolist()}
        if (size := sizes[member]) > (free := memory_available()):  # a few megabytes may unpack to any size
            got = f"one of {size / 1e9:,.1f} GB, with {free / 1e9:,.1f} GB free"
            raise TlxError(f"{file}, {member}: expected an array that fits into memory, got {got}")
        with np.load(file, allow_pickle=False) as held:
            return held[member]
    except (KeyError, TlxError):
        raise
    except Exception as error:  # whatever zipfile, zlib and NumPy meet in a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TlxError(f"{file}, {member}: expected plain numbers or texts, got {reason}") from error
