"""Private names of torchvision: what some data sets keep their samples in, which they give one by one only."""

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
