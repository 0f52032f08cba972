"""Images and labels in one .npz file, as MedMNIST and Keras publish them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tlx.base.errors import TlxError
from tlx.data.sources.arrayfile import class_names_of, members, read_array, read_labels
from tlx.data.splits.division import carve, carve_val
from tlx.data.splits.samples import ImageSet, Sample, Split


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
    if (
        values.dtype != np.uint8
        or values.ndim not in (3, 4)
        or (values.ndim == 4 and values.shape[-1] not in (1, 3, 4))
    ):
        expected = "uint8 images (N, H, W) or (N, H, W, C) with 1, 3 or 4 channels"
        raise TlxError(f"{what}: expected {expected}, got {values.dtype} {values.shape}")
    pixels = torch.from_numpy(np.ascontiguousarray(values))
    return pixels[:, None] if values.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
