"""The batches of a training epoch, and their micro batches: every image is in one, and sizes differ by one at most."""

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


def micro_batches_of(images: int, batches: int, world: int = 1, at_once: int | None = None) -> int:
    """Return into how many micro batches each process divides its share of a batch, the same for all batches.

    Args:
        images: Images of an epoch.
        batches: Its batches, see `batches_of_epoch`.
        world: Number of processes.
        at_once: The most images of a micro batch; None: the whole share. If it is 1, and the sizes of batches differ,
            some micro batches have 2.

    Examples:
        >>> from tlx.data.batches.even import micro_batches_of
        >>> [micro_batches_of(64, 2, at_once=most) for most in (None, 32, 31, 8)]
        [1, 1, 2, 4]
    """
    if at_once is None:
        return 1
    images = max(images, world)
    largest, smallest = -(-images // (batches * world)), images // batches // world
    return max(1, min(-(-largest // at_once), smallest))


class EvenBatches(Sampler[list[Any]]):
    """Divide an epoch's order into batches of one size, or of two that differ by one.

    A batch of all processes is a range of the order; process `rank` of `world` takes every `world`-th image of it. So
    the batches of all processes together are those of one process, and the shares of the processes differ by one at
    most. With fewer images than processes, images are repeated.

    With `at_once`, a process takes its share of a batch in `parts` micro batches, one after another: as many in each
    batch and each process. The iteration yields micro batches, whose gradients make the step of the whole batch.

    Args:
        sampler: The order of the images; Lightning sets its epoch.
        batches: Number of batches, see `batches_of_epoch`.
        rank: Number of this process, from 0.
        world: Number of processes.
        at_once: The most images of a micro batch, see `micro_batches_of`; None: the whole share of a batch.

    Attributes:
        parts: Micro batches of a batch.
    """

    def __init__(
        self, sampler: EpochSampler, batches: int, rank: int = 0, world: int = 1, at_once: int | None = None
    ) -> None:
        self.sampler, self.batches, self.rank, self.world = sampler, batches, rank, world
        self.parts = micro_batches_of(sampler.size, batches, world, at_once)
        self.skipped = 0  # micro batches that the next iteration skips, for a resumed run

    def __len__(self) -> int:
        return self.batches * self.parts

    def __iter__(self) -> Iterator[list[Any]]:
        shares, self.skipped = [self._share(number) for number in range(self.skipped, len(self))], 0
        pairs = self.sampler.at(chain.from_iterable(shares))
        for share in shares:
            yield [*islice(pairs, len(share))]

    @property
    def largest(self) -> int:
        """Images in the largest micro batch of a process."""
        return -(-self._images // (self.batches * self.world * self.parts))

    def weight(self, number: int) -> float:
        """Return by what the mean over this process's images of a micro batch is multiplied.

        The mean of the products over micro batches and processes is then the mean over the images of the whole batch.

        Args:
            number: Number of the micro batch in the epoch, from 0.
        """
        start, end = self._range(number // self.parts)
        return len(self._share(number)) * self.parts * self.world / (end - start)

    @property
    def _images(self) -> int:
        return max(self.sampler.size, self.world)

    def _range(self, number: int) -> tuple[int, int]:
        return number * self._images // self.batches, (number + 1) * self._images // self.batches

    def _share(self, number: int) -> range:
        batch, part = divmod(number, self.parts)
        start, end = self._range(batch)
        share = range(start + self.rank, end, self.world)
        return share[len(share) * part // self.parts : len(share) * (part + 1) // self.parts]
