"""What was seen of a test split, whatever the task is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Recorded:
    """What was seen of a test split, in the order of its images. N images, M of them embedded.

    Args:
        index: Places of the images in the split (N,), ascending.
        rows: What the task recorded of each image, by name: each (N, …).
        embedded: Places in the split (M,), ascending, of the images whose features were kept.
        features: Pooled features (M, num_features), float32.
        thumbnails: Those images as the network saw them, small: uint8 (M, C, h, w).
        worst: Places in the split of the images with the worst outputs, the worst first.
        worst_images: Those as the network saw them, each uint8 (C, H, W).
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
