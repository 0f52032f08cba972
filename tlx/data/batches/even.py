"""The batches of a training epoch: every image is in one, and their sizes differ by one at most."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from torch.utils.data import Sampler

from tlx.data.batches.sampler import EpochSampler


def batches_of_epoch(images: int, batch_size: int, accumulated: int = 1, world: int = 1) -> int:
    """Return the number of batches into which an epoch is divided, the same in every process.

    They are as few as make at most `batch_size` images of each, and a multiple of `accumulated`, so that all optimizer
    steps have the same number of batches. No process gets one image alone, which BatchNorm cannot train on, as long as
    there are two for each; a batch may then have one image more.

    Args:
        images: Images of an epoch.
        batch_size: Images of a batch of all processes together.
        accumulated: Batches whose gradients make one optimizer step.
        world: Number of processes.

    Examples:
        >>> from tlx.data.batches.even import batches_of_epoch
        >>> [batches_of_epoch(images, 32) for images in (32, 33, 60, 1000)]
        [1, 2, 2, 32]
    """
    steps = -(-images // (batch_size * accumulated))
    alone = world * min(2, max(1, batch_size // world))
    return max(1, min(steps * accumulated, images // alone))


class EvenBatches(Sampler[list[Any]]):
    """Divide an epoch's order into batches of one size, or of two that differ by one.

    A batch of all processes is a range of the order; process `rank` of `world` takes every `world`-th image of it. So
    the batches of all processes together are those of one process, and the shares of the processes differ by one at
    most. With fewer images than processes, images are repeated.

    Args:
        sampler: The order of the images; Lightning sets its epoch.
        batches: Number of batches, see `batches_of_epoch`.
        rank: Number of this process, from 0.
        world: Number of processes.
    """

    def __init__(self, sampler: EpochSampler, batches: int, rank: int = 0, world: int = 1) -> None:
        self.sampler, self.batches, self.rank, self.world = sampler, batches, rank, world
        self.skipped = 0  # batches that the next iteration skips, for a resumed run

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Any]]:
        shares, self.skipped = [self._share(number) for number in range(self.skipped, self.batches)], 0
        pairs = self.sampler.at(chain.from_iterable(shares))
        for share in shares:
            yield [*islice(pairs, len(share))]

    @property
    def largest(self) -> int:
        """Images in the largest batch of a process."""
        return -(-self._images // (self.batches * self.world))

    def weight(self, number: int) -> float:
        """Return by what the mean over this process's images of a batch is multiplied.

        The mean of the products over the processes is then the mean over the images of the whole batch.

        Args:
            number: Number of the batch in the epoch, from 0.
        """
        start, end = self._range(number)
        return len(self._share(number)) * self.world / (end - start)

    @property
    def _images(self) -> int:
        return max(self.sampler.size, self.world)

    def _range(self, number: int) -> tuple[int, int]:
        return number * self._images // self.batches, (number + 1) * self._images // self.batches

    def _share(self, number: int) -> range:
        start, end = self._range(number)
        return range(start + self.rank, end, self.world)
