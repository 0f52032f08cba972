"""Masks as labels: a class for each pixel of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tlx.data.ignored import IGNORED
from tlx.data.labels import LabelKind

if TYPE_CHECKING:  # sets of files are listed, split and checked without importing torch
    import numpy as np
    from torch import Tensor

    from tlx.data.augmentation.distortion import Distortion


class Mask(ABC):
    """The label of an image for segmentation; its pixels are read when they are needed."""

    @property
    @abstractmethod
    def pixel_counts(self) -> Mapping[int, int]:
        """Pixels of each class that the mask shows, without `IGNORED`."""

    @property
    def problem(self) -> str | None:
        """Why the mask cannot be used; None: nothing is known to be wrong."""
        return None

    @abstractmethod
    def read(self) -> np.ndarray:
        """Return the class of each pixel, uint8 (H, W), upright like its image; `IGNORED` for pixels that do not count.

        Raises:
            TlxError: The file is missing or broken; the message names it.
        """

    @property
    def key(self) -> bytes:
        """16 bytes that differ for different masks; a subclass may find them without reading the pixels."""
        pixels = self.read()
        return blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest()


class MaskArray(Mask):
    """A mask that is held in memory.

    Args:
        classes: The class of each pixel, uint8 (H, W).
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes

    def __repr__(self) -> str:
        """Return what the label depends on, the same in every process."""
        return f"MaskArray({self.key.hex()})"

    @cached_property
    def pixel_counts(self) -> Mapping[int, int]:
        """Pixels of each class that the mask shows, without `IGNORED`."""
        import numpy as np

        counts = np.bincount(self._classes.reshape(-1), minlength=IGNORED)[:IGNORED]
        return {int(one): int(counts[one]) for one in counts.nonzero()[0]}

    def read(self) -> np.ndarray:
        """Return the class of each pixel, uint8 (H, W)."""
        return self._classes


class _Renumbered(Mask):
    """A mask with other numbers of classes.

    Args:
        mask: The mask.
        places: Class -> its new number; pixels of other classes are ignored.
    """

    def __init__(self, mask: Mask, places: Mapping[int, int]) -> None:
        self._mask, self._places = mask, dict(places)

    def __repr__(self) -> str:
        return f"{self._mask!r} as {self._places}"

    @property
    def pixel_counts(self) -> Mapping[int, int]:
        """Pixels of each class."""
        return {self._places[one]: count for one, count in self._mask.pixel_counts.items() if one in self._places}

    @property
    def problem(self) -> str | None:
        """Why the mask cannot be used."""
        return self._mask.problem

    def read(self) -> np.ndarray:
        """Return the class of each pixel, uint8 (H, W)."""
        import numpy as np

        numbers = np.full(256, IGNORED, dtype=np.uint8)
        for one, place in self._places.items():
            numbers[one] = place
        renumbered: np.ndarray = numbers[self._mask.read()]
        return renumbered


class MaskLabels(LabelKind):
    """A label is a `Mask`; a batch holds uint8 (B, H, W)."""

    name = "masks"
    moves = True
    in_parts = True
    least_steps = 50
    marks = "pixels"
    unknown = None

    def class_ids(self, label: Mask | None) -> tuple[int, ...]:
        """Return the classes that the mask shows, ascending."""
        return () if label is None else tuple(sorted(label.pixel_counts))

    def problem(self, label: Mask | None) -> str | None:
        """Return why the mask cannot be used."""
        return None if label is None else label.problem

    def amounts(self, label: Mask | None) -> Mapping[int, int]:
        """Return the pixels of each class."""
        return {} if label is None else label.pixel_counts

    def only(self, label: Mask | None, places: Mapping[int, int]) -> Mask | None:
        """Return the mask with only some classes, renumbered; pixels of other classes are ignored."""
        same = all(one == place for one, place in places.items()) and label is not None
        return (
            label if label is None or (same and set(label.pixel_counts) <= set(places)) else _Renumbered(label, places)
        )

    def collate(self, labels: Sequence[Tensor]) -> Tensor:
        """Return masks (B, H, W) from masks (H, W) that moved with their images."""
        import torch

        return torch.stack(list(labels))

    def take(self, collated: Tensor, index: Tensor) -> Tensor:
        """Return masks (B, H, W), `IGNORED` for padding."""
        taken = collated[index.clamp(min=0)]
        return taken.masked_fill((index < 0).view(-1, 1, 1), IGNORED)

    def transform(self, transform: Callable[..., Any], image: Tensor, label: Mask) -> tuple[Tensor, Tensor]:
        """Apply a torchvision v2 transform to an image (C, H, W) and its mask; return (C, h, w) and uint8 (h, w)."""
        import torch
        from torchvision import tv_tensors

        mask = tv_tensors.Mask(torch.from_numpy(label.read()))
        moved_image, moved_mask = transform(tv_tensors.Image(image), mask)
        return moved_image.as_subclass(torch.Tensor), moved_mask.as_subclass(torch.Tensor)

    def key(self, label: Mask) -> bytes:
        """Return the key of the mask."""
        return label.key

    def distort(self, labels: Tensor, distortion: Distortion, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        """Return masks (B, H, W) moved like their images; what comes from outside is `IGNORED`."""
        from tlx.data.augmentation.moved_labels import moved_masks

        return moved_masks(labels, distortion, drawn, beyond=IGNORED)


MASKS = MaskLabels()
