"""The images of one split as torch sees them: an (epoch, index) pair goes in, pixels of the input size come out."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tlx.data.images import read_image, to_channels
from tlx.data.randomness import seeded
from tlx.data.sampler import PADDING
from tlx.data.samples import Split

RESIZED_AT_MOST = 512 * 2**20  # bytes that a set in memory may take once more, in the input size
_AT_ONCE = 1024  # images


class Batch(TypedDict):
    """`image` uint8 (B, C, H, W), not normalised; `target` int64 (B,), -1: to be ignored; `index` int64 (B,)."""

    image: Tensor
    target: Tensor
    index: Tensor


class SplitDataset(Dataset[Batch]):
    """Read, transform and batch the samples of a split.

    What is drawn for an image depends on (seed, epoch, index) alone. A set in memory is resized once where nothing is
    drawn.

    Args:
        split: The samples.
        transform: uint8 (C, H, W) -> uint8 (C, size, size).
        channels: Channels of the images that come out.
        seed: Seed of what `transform` draws; None: it draws nothing.
    """

    def __init__(self, split: Split, transform: nn.Module, channels: int, seed: int | None = None) -> None:
        self.split = split
        self.transform = transform
        self.channels = channels
        self.seed = seed
        self.targets = torch.tensor([sample.target for sample in split.samples], dtype=torch.int64)
        self._resized = self._resize_once() if seed is None and split.in_memory else None

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Return the batch of one image."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        """Return a batch; torch's DataLoader calls this with all the pairs of a batch at once."""
        index = torch.tensor([i for _, i in keys], dtype=torch.int64)
        place = index.clamp(min=0)  # padding looks like image 0 and is ignored by its target
        if self._resized is not None:
            image = to_channels(self._resized[place], self.channels).contiguous()
        else:
            image = torch.stack([self._image(epoch, i) for (epoch, _), i in zip(keys, place.tolist(), strict=True)])
        target = self.targets[place].masked_fill(index == PADDING, -1)
        return {"image": image, "target": target, "index": index}

    def _image(self, epoch: int, index: int) -> Tensor:
        source = self.split.samples[index].source
        if isinstance(source, Path):
            image = read_image(source, self.channels)
        else:
            assert self.split.pixels is not None
            image = self.split.pixels[source]
        if self.seed is None:
            image = self.transform(image)
        else:
            with seeded(self.seed, "augment", epoch, index):
                image = self.transform(image)
        return to_channels(image, self.channels)

    def _resize_once(self) -> Tensor | None:
        """All images in the input size (N, C, size, size), in their own channels; None where that is too much."""
        if not self.split.samples:
            return None
        assert self.split.pixels is not None
        pixels = self.split.pixels
        rows = torch.tensor([sample.source for sample in self.split.samples])
        one = self.transform(pixels[rows[0]])
        if one.numel() * len(rows) > RESIZED_AT_MOST:
            return None
        resized = torch.empty(len(rows), *one.shape, dtype=torch.uint8)
        for start in range(0, len(rows), _AT_ONCE):
            chunk = slice(start, start + _AT_ONCE)
            resized[chunk] = self.transform(pixels[rows[chunk]])
        return resized
