"""The recorded outputs of a test split, for any task."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Recorded:
    """The recorded outputs of a test split, in the order of its images: N images, M of them embedded.

    Args:
        index: Indices of the images in the split (N,), ascending.
        rows: The task's recorded values of each image, by name, each (N, …).
        embedded: Indices in the split (M,), ascending, of the images whose features were kept.
        features: Pooled features (M, num_features), float32.
        thumbnails: Thumbnails of the embedded images, as the network saw them: uint8 (M, C, h, w).
        worst: Indices in the split of the images with the worst outputs, worst first.
        worst_images: These images as the network saw them, each uint8 (C, H, W).
    """

    index: Tensor
    rows: dict[str, Tensor]
    embedded: Tensor
    features: Tensor
    thumbnails: Tensor
    worst: list[int]
    worst_images: list[Tensor]

    def __len__(self) -> int:
        return len(self.index)
