"""Images and labels in one .npz file, as MedMNIST and Keras publish them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlx.base.errors import Mistake, TlxError
from tlx.base.machine import memory_available
from tlx.data.files.image_files import closest_file
from tlx.data.sources.base import Source
from tlx.data.sources.content import digest
from tlx.data.sources.keys import CARVED, Classes, SourceKeys
from tlx.data.splits.samples import ImageSet, Sample, Split

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_PATTERNS = (("{}_images", "{}_labels"), ("x_{}", "y_{}"))
_WHOLE = ("images", "labels")
_NAMES = "class_names"


@dataclass
class ArraysKeys(SourceKeys):
    """Images and labels in one .npz file."""

    classes: Classes | None = None
    path: str = "???"
    test_fraction: float = field(default=0.2, metadata=CARVED)


class ArraysSource(Source):
    """Images and labels in a file of arrays, held in memory. NumPy alone reads the labels for the check."""

    keys = ArraysKeys
    lists_files = False
    chooses_classes = True

    def all_class_names(self) -> list[str] | None:
        """Return the class names in the file, or else its labels."""
        return class_names_of(self.path("path")) if self.is_set("path") else None

    def own_mistakes(self) -> list[Mistake]:
        """Return a mistake if the file does not exist or its labels are invalid."""
        try:
            self.all_class_names()
        except TlxError as error:
            got, _, hint = str(error).partition("; ")
            expected = "a .npz file of images and labels"
            return [Mistake("dataset.path", expected, f"'{self.node['path']}': {got}", hint)]
        return []

    def content(self) -> dict[str, Any]:
        """Return a hash of the file's bytes."""
        return {"content": digest(self.path("path").read_bytes(), [])}

    def read(self) -> ImageSet:
        """Load the set with `arrays`."""
        return arrays(**self.arguments)


def arrays(
    path: str | os.PathLike[str],
    test_fraction: float = 0.2,
    *,
    name: str = "arrays",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images of a .npz file, uint8 (N, H, W) or (N, H, W, C), with integer labels (N,) or (N, 1).

    The arrays are called `train_images` and `train_labels`, with the same names for val and test; or `x_train` and
    `y_train`; or `images` and `labels` if the set has no splits. Missing splits are carved. If there is an array
    `class_names`, labels are indices into it; otherwise the labels in ascending order are the class names.

    Args:
        path: The file; `~` is expanded.
        test_fraction: Fraction of all images for the test split, if it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, if it is carved: of train if there is a test split, otherwise of all.
        split_seed: Seed of the split.

    Raises:
        TlxError: The file does not exist or is invalid.
    """
    import numpy as np

    from tlx.data.splits.division import carve, carve_val

    file = Path(path).expanduser()
    names = members(file)
    labels = read_labels(file)
    class_names = class_names_of(file)
    used = sorted({*np.concatenate([*labels.values()]).tolist()})
    targets = {label: target for target, label in enumerate(used)}
    if class_names != [str(label) for label in used]:  # labels are indices into the file's class names
        targets = {label: label for label in used}
    parts = {part: _split(file, part, images, labels[part], targets) for part, (images, _) in names.items()}
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    if "test" not in parts:
        return carve(name, class_names, parts["train"], val_fraction, test_fraction, split_seed)
    if "val" not in parts:
        return carve_val(name, class_names, parts["train"], parts["test"], val_fraction, split_seed)
    rule = "official train, val and test splits of the file"
    return ImageSet(name, class_names, parts["train"], parts["val"], parts["test"], rule)


def _split(file: Path, part: str, member: str, labels: np.ndarray, targets: Mapping[int, int]) -> Split:
    pixels = _as_images(read_array(file, member), f"{file}, {member}")
    if len(pixels) != len(labels):
        raise TlxError(f"{file}: expected a label for each of {len(pixels):,} images of {part}, got {len(labels):,}")
    samples = [Sample(row, targets[label], f"{part} {row}") for row, label in enumerate(labels.tolist())]
    return Split(samples, pixels)


def _as_images(values: np.ndarray, what: str) -> Tensor:
    import numpy as np
    import torch

    if (
        values.dtype != np.uint8
        or values.ndim not in (3, 4)
        or (values.ndim == 4 and values.shape[-1] not in (1, 3, 4))
    ):
        expected = "uint8 images (N, H, W) or (N, H, W, C) with 1, 3 or 4 channels"
        raise TlxError(f"{what}: expected {expected}, got {values.dtype} {values.shape}")
    pixels = torch.from_numpy(np.ascontiguousarray(values))
    return pixels[:, None] if values.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def members(file: Path) -> dict[str, tuple[str, str]]:
    """Return the names of each split's arrays (images, labels); a set without splits is `train`.

    Raises:
        TlxError: The file does not exist or is not a .npz file, or its arrays have other names.
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
    """Return the labels (N,), int64, of each split.

    Raises:
        TlxError: See `members`; or the labels are not whole numbers, one per image.
    """
    import numpy as np

    labels = {}
    for part, (_, member) in members(file).items():
        values = read_array(file, member)
        flat = values.reshape(-1)
        if len(flat) != len(values) or not np.issubdtype(values.dtype, np.integer):
            expected = "whole numbers (N,) or (N, 1), one label per image"
            raise TlxError(f"{file}, {member}: expected {expected}, got {values.dtype} {values.shape}")
        labels[part] = flat.astype(np.int64)
    return labels


def class_names_of(file: Path) -> list[str]:
    """Return the class names of a file, in the order of their indices."""
    mtime = file.stat().st_mtime_ns if file.is_file() else 0
    return list(_class_names(file, mtime))


@lru_cache(maxsize=8)
def _class_names(file: Path, mtime: int) -> tuple[str, ...]:
    used = sorted({label for labels in read_labels(file).values() for label in labels.tolist()})
    try:
        names = [str(name) for name in read_array(file, _NAMES).tolist()]
    except KeyError:
        return tuple(str(label) for label in used)
    if used and not 0 <= used[0] <= used[-1] < len(names):
        raise TlxError(f"{file}: expected labels from 0 to {len(names) - 1}, indices into {_NAMES}, got {used[-1]}")
    return tuple(names)


def read_array(file: Path, member: str) -> np.ndarray:
    """Return an array, of any shape, of a .npz file.

    Raises:
        KeyError: The file has no array of that name.
        TlxError: The array is damaged, larger than the free memory, or holds objects, which could run code.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {one.filename.removesuffix(".npy"): one.file_size for one in archive.infolist()}
        if (size := sizes[member]) > (free := memory_available()):  # a small file may unpack to any size
            got = f"one of {size / 1e9:,.1f} GB, with {free / 1e9:,.1f} GB free"
            raise TlxError(f"{file}, {member}: expected an array that fits into memory, got {got}")
        with np.load(file, allow_pickle=False) as held:
            array: np.ndarray = held[member]
            return array
    except (KeyError, TlxError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of errors for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TlxError(f"{file}, {member}: expected plain numbers or texts, got {reason}") from error
