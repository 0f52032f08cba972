"""The order of images: a pure function of (seed, epoch), divided among processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor
from torch.utils.data import Sampler

from tlx.data.augmentation.randomness import mix
from tlx.data.batches.balance import balanced_epoch

Members = Mapping[int, Tensor]  # class -> images that show it
Pair = tuple[int, int]  # the draw of an image, and its index in the split
PADDING = -1  # the index of a row without an image


def view_draw(view: int) -> int:
    """Return the draw of an augmented view (from 0): a negative number, unlike an epoch."""
    return -1 - view


class EpochSampler(Sampler[Pair]):
    """Yield (draw, index) pairs; the draw tells workers how to augment the image.

    The draw is the epoch, so augmentation never repeats; with `views` it is one of that many views in turn, numbered by
    `view_draw`. With balanced classes an image may come several times in an epoch: the draw is then how often it came
    before. With `views` all images of an epoch have the same view.

    Iterated, it serves evaluation: process `rank` of `world` takes every `world`-th index, from `rank` on. PADDING is
    added, so that all processes get equally many indices and every image counts exactly once. In training `EvenBatches`
    divides the epoch.

    Args:
        size: Number of images.
        seed: Seed of the order.
        shuffle: A new order each epoch (training), or the order of the samples with PADDING (evaluation).
        rank: Number of this process, from 0.
        world: Number of processes.
        members: Class -> images that show it, to draw each class equally often, see `balanced_epoch`; None: each image
            once. For training only.
    """

    def __init__(
        self, size: int, seed: int, *, shuffle: bool, rank: int = 0, world: int = 1, members: Members | None = None
    ) -> None:
        self.members = members
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.views = 0  # number of views that take turns; 0: a new draw in every epoch
        self.first_epoch = 0  # the epoch with the first view

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls this before each."""
        self.epoch = epoch

    @property
    def draw(self) -> int:
        """The draw of this epoch."""
        return view_draw((self.epoch - self.first_epoch) % self.views) if self.views else self.epoch

    def __len__(self) -> int:
        return -(-self.size // self.world)

    def __iter__(self) -> Iterator[Pair]:
        return self.at(range(self.rank, len(self) * self.world, self.world))

    def at(self, positions: Iterable[int]) -> Iterator[Pair]:
        """Yield the pairs at some positions of this epoch; beyond its end training begins again, evaluation pads."""
        draw, (order, draws) = self.draw, self._order()
        for position in positions:
            place = position % self.size
            if position < self.size or self.shuffle:
                yield draw if draws is None else draws[place], order[place]
            else:
                yield draw, PADDING

    def _order(self) -> tuple[list[int], list[int] | None]:
        """Return the images of this epoch and the draw of each; None: the same draw for all."""
        if not self.shuffle:
            return list(range(self.size)), None
        if self.members is not None:
            order, draws = balanced_epoch(self.members, self.size, self.seed, self.epoch)
            return order.tolist(), None if self.views else draws.tolist()
        generator = torch.Generator().manual_seed(mix(self.seed, "order", self.epoch))
        return torch.randperm(self.size, generator=generator).tolist(), None


class PairedSampler(EpochSampler):
    """Yield pairs: a (draw, index) of the source as `EpochSampler` yields it in training, and one of the target domain.

    The target domain's images come in rounds, each in a new order and independent of the source's epochs: none repeats
    before all were seen. They are a function of (seed, epoch, position).

    Args:
        size: Number of images of the source.
        seed: Seed of both orders.
        other: Number of images of the target domain.
        members: Images of the source's classes, to be balanced; None: each image once.
    """

    def __init__(self, size: int, seed: int, *, other: int, members: Members | None = None) -> None:
        super().__init__(size, seed, shuffle=True, members=members)
        self.other = other
        self._round: tuple[int, list[int]] = (-1, [])

    def at(self, positions: Iterable[int]) -> Iterator[tuple[Pair, Pair]]:  # type: ignore[override]
        """Yield the pairs of pairs at some positions of this epoch."""
        places, draw, before = list(positions), self.draw, self.epoch * self.size
        for place, pair in zip(places, super().at(places), strict=True):
            yield pair, (draw, self._other(before + place))

    def _other(self, place: int) -> int:
        number, within = divmod(place, self.other)
        if self._round[0] != number:
            generator = torch.Generator().manual_seed(mix(self.seed, "target order", number))
            self._round = number, torch.randperm(self.other, generator=generator).tolist()
        return self._round[1][within]


class Chosen(Sampler[Pair]):
    """Yield given (draw, index) pairs.

    Args:
        pairs: Pairs of the wanted images.
    """

    world = 1  # each process has its own pairs

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)
