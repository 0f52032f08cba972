"""Class-balanced sampling: the images of an epoch are a function of (classes, seed, epoch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tlx.data.augmentation.randomness import mix


def members_of(classes: Sequence[Sequence[int]]) -> dict[int, Tensor]:
    """Return class -> images (n,) that show it, ascending, int64.

    Args:
        classes: Classes of each image; an image without a class is never drawn.
    """
    members: dict[int, list[int]] = {}
    for image, own in enumerate(classes):
        for one in own:
            members.setdefault(one, []).append(image)
    return {one: torch.tensor(members[one]) for one in sorted(members)}


def balanced_epoch(members: Mapping[int, Tensor], size: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """Return the images of an epoch, equally many of each class.

    A remainder goes to some classes in one epoch and to others in the next. The images of a class are drawn in rounds,
    each in a new order, so no image is drawn twice more than another of its class. Images of a small class come several
    times in an epoch; those of a large class take turns over epochs.

    Args:
        members: Class -> images that show it, see `members_of`.
        size: Images of an epoch N: the size of the set.
        seed: Any integer.
        epoch: From 0.

    Returns:
        The images in training order (N,), and how often each was drawn before (N,), this epoch included: the number of
        an image of one class never repeats.
    """
    images, rounds = [], []
    for place, (one, own) in enumerate(members.items()):
        first, last = (_drawn_before(e, place, size, len(members)) for e in (epoch, epoch + 1))
        for chosen, number in _of_a_class(own, first, last, seed, one):
            images.append(chosen)
            rounds.append(number)
    generator = torch.Generator().manual_seed(mix(seed, "order", epoch))
    order = torch.randperm(size, generator=generator)
    return torch.cat(images)[order], torch.cat(rounds)[order]


def _drawn_before(epoch: int, place: int, size: int, classes: int) -> int:
    """Return how many images of the `place`-th class all earlier epochs have drawn."""
    each, rest = divmod(size, classes)
    turns, left = divmod(epoch * rest, classes)  # the remainder rotates over the classes
    return epoch * each + turns + (place < left)


def _of_a_class(members: Tensor, first: int, last: int, seed: int, one: int) -> list[tuple[Tensor, Tensor]]:
    """Return the draws `first` to `last` - 1 of a class, in parts of (images, rounds)."""
    count = len(members)
    parts = []
    whole = range(-(-first // count), last // count)  # complete rounds: their order does not matter
    if whole:
        numbers = torch.arange(whole.start, whole.stop)
        parts.append((members.repeat(len(whole)), numbers.repeat_interleave(count)))
    ends = {first // count, (last - 1) // count} if last > first else set()
    for number in sorted(number for number in ends if number not in whole):
        generator = torch.Generator().manual_seed(mix(seed, "class order", one, number))
        order = torch.randperm(count, generator=generator)
        chosen = members[order[max(first - number * count, 0) : last - number * count]]
        parts.append((chosen, torch.full_like(chosen, number)))
    return parts
