"""Images of a small set, kept in memory after their first reading.

Without augmentation the transformed pixels are kept; otherwise the decoded pixels are, and are transformed each time.
Reading processes share the memory: an image read by one is available to all. The memory is bounded and allocated as a
whole; if that fails, images are read again each time, with the same result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.base.machine import memory_available
from tlx.data.batches.shared_memory import room
from tlx.data.reading.facts import Facts
from tlx.data.reading.pixels import reduction
from tlx.data.splits.samples import Split

KEPT_AT_MOST = 512 * 2**20  # bytes a split
_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}


class KeptImages:
    """uint8 pixels of images, by their position in a split.

    Args:
        sizes: Expected bytes of each image; a larger image is not kept.
        transformed: Whether transformed pixels are kept, or decoded ones.
        places: The place in `sizes` of each sample of the split: several samples may show parts of one image; None:
            each sample has its own.
    """

    def __init__(self, sizes: Sequence[int], transformed: bool, places: Sequence[int] | None = None) -> None:
        self.transformed = transformed
        self._places = places
        self._starts = [0, *accumulate(sizes)]
        self._pixels: Tensor | None = None
        self._shapes = torch.zeros(0, 3, dtype=torch.int32)
        self._there = torch.zeros(0, dtype=torch.uint8)

    @property
    def size(self) -> int:
        """Total bytes."""
        return self._starts[-1]

    @property
    def count(self) -> int:
        """Number of images kept so far."""
        return int(self._there.sum())

    @no_gradients()
    def take_memory(self, shared: bool) -> None:
        """Allocate the memory, once; before that nothing is kept.

        Args:
            shared: Whether reading processes will be started.
        """
        if self._pixels is not None and (not shared or self._pixels.is_shared()):
            return
        if self.size > _room(shared):
            return
        count = len(self._starts) - 1
        try:
            if self._pixels is None:
                self._shapes = torch.zeros(count, 3, dtype=torch.int32)
                self._there = torch.zeros(count, dtype=torch.uint8)
                self._pixels = torch.empty(self.size, dtype=torch.uint8)
            if shared:
                for tensor in (self._shapes, self._there, self._pixels):
                    tensor.share_memory_()
        except RuntimeError:  # no memory after all
            self._pixels = None

    def get(self, index: int) -> Tensor | None:
        """Return the pixels of an image, uint8 (C, H, W) or (H, W), read-only; None if not kept."""
        index = index if self._places is None else self._places[index]
        if self._pixels is None or not self._there[index]:
            return None
        shape = [side for side in self._shapes[index].tolist() if side]
        start = self._starts[index]
        return self._pixels[start : start + prod(shape)].view(shape)

    def put(self, index: int, pixels: Tensor) -> None:
        """Keep the pixels of an image, uint8 (C, H, W) or (H, W), unless already kept or without room."""
        index = index if self._places is None else self._places[index]
        start, end = self._starts[index : index + 2]
        if self._pixels is None or self._there[index] or not 0 < pixels.numel() <= end - start:
            return
        self._pixels[start : start + pixels.numel()].view(pixels.shape).copy_(pixels)
        self._shapes[index, : pixels.ndim] = torch.tensor(pixels.shape, dtype=torch.int32)
        self._there[index] = 1  # last, so that other processes see only complete images


def images_to_keep(
    split: Split, facts: Mapping[Path, Facts], channels: int, min_side: int | None, size: tuple[int, int] | None
) -> KeptImages | None:
    """Return a store, not yet allocated, for the images of a split; None if they should not be kept.

    Args:
        split: The samples.
        facts: Facts of their files.
        channels: Channels of the images of a batch.
        min_side: Least shorter side of a JPEG decoded at a reduced size, see `tlx.data.reading.images.read_image`.
        size: Height and width of the images of a batch without augmentation; None: with augmentation.
    """
    if split.in_memory:
        return None
    if size is not None:
        sizes, places = [channels * prod(size)] * len(split), None
    else:
        sizes = []
        known_at: dict[Path | int, int] = {}
        for source in dict.fromkeys(sample.source for sample in split.samples):
            known = facts.get(source) if isinstance(source, Path) else None
            if known is None or not known.width:
                return None
            known_at[source] = len(sizes)
            sizes.append(decoded_bytes(source, known, channels, min_side))
        places = [known_at[sample.source] for sample in split.samples]
    return KeptImages(sizes, size is not None, places) if sum(sizes) <= _at_most() else None


def decoded_bytes(path: Path | int, facts: Facts, channels: int, min_side: int | None) -> int:
    """Return the bytes that `read_pixels` returns for a file; its extension decides whether it is a JPEG."""
    is_jpeg = isinstance(path, Path) and path.suffix.lower() in _JPEG
    by = reduction(facts.width, facts.height, min_side if is_jpeg else None)
    return (facts.width // by) * (facts.height // by) * (channels if channels in (1, 2, 4) else 3)


def _at_most() -> int:
    """Return the bytes that this process may keep of a split; processes of one machine share the memory."""
    return min(KEPT_AT_MOST, memory_available() // 4) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _room(shared: bool) -> int:
    """Return the bytes available now. Batches use shared memory too, which is small in a container."""
    return min(_at_most(), room() // 4) if shared else _at_most()
