"""Private names of torchvision: the lists of samples of data sets that publicly return only one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def samples_of_fer2013(dataset: Any) -> Sequence[tuple[Any, int | None]]:
    """Return images, uint8 (H, W), with their labels."""
    samples: Sequence[tuple[Any, int | None]] = dataset._samples
    return samples


def samples_of_gtsrb(dataset: Any) -> Sequence[tuple[str, int]]:
    """Return files with their labels."""
    samples: Sequence[tuple[str, int]] = dataset._samples
    return samples


def samples_of_pets(dataset: Any) -> Sequence[tuple[Any, int]]:
    """Return files with their labels."""
    return list(zip(dataset._images, dataset._labels, strict=True))
