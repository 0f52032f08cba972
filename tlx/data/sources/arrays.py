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
    """Images held in memory, from a file of arrays; NumPy reads its labels before anything else is loaded."""

    keys = ArraysKeys
    chooses_classes = True

    def all_class_names(self) -> list[str] | None:
        """Return the labels, or the file's names for them."""
        return class_names_of(self.path("path")) if self.is_set("path") else None

    def own_mistakes(self) -> list[Mistake]:
        """Return whether there is no such file, or its labels are not understood."""
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
        """Return what `arrays` returns."""
        return arrays(**self.arguments)


def arrays(
    path: str | os.PathLike[str],
    test_fraction: float = 0.2,
    *,
    name: str = "arrays",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return the images of a .npz file, uint8 (N, H, W) or (N, H, W, C), with whole numbers (N,) or (N, 1) as labels.

    The arrays are called `train_images` and `train_labels`, and likewise for val and test; or x_train and y_train; or,
    for a set that is not divided, `images` and `labels`. Class names are the labels in ascending order, unless an array
    `class_names` names them: the label is then a place in it. Splits that are not there are carved.

    Args:
        path: The file; `~` is expanded.
        test_fraction: Fraction of all images for the test split, where it is carved.
        name: Name of the set.
        val_fraction: Fraction for validation, where it is carved: of all images, or of train.
        split_seed: Seed of the split.

    Raises:
        TlxError: There is no such file, or it is not understood.
    """
    import numpy as np

    from tlx.data.splits.division import carve, carve_val

    file = Path(path).expanduser()
    named = members(file)
    labels = read_labels(file)
    class_names = class_names_of(file)
    used = sorted({*np.concatenate([*labels.values()]).tolist()})
    targets = {label: target for target, label in enumerate(used)}
    if class_names != [str(label) for label in used]:  # the file names its classes: a label is a place among them
        targets = {label: label for label in used}
    parts = {part: _split(file, part, images, labels[part], targets) for part, (images, _) in named.items()}
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    if "test" not in parts:
        return carve(name, class_names, parts["train"], val_fraction, test_fraction, split_seed)
    if "val" not in parts:
        return carve_val(name, class_names, parts["train"], parts["test"], val_fraction, split_seed)
    rule = "train, val and test as the file says"
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
    """Return an array of a .npz file, of any shape.

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
            array: np.ndarray = held[member]
            return array
    except (KeyError, TlxError):
        raise
    except Exception as error:  # whatever zipfile, zlib and NumPy meet in a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TlxError(f"{file}, {member}: expected plain numbers or texts, got {reason}") from error
