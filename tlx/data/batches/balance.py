"""Every class equally often: which images an epoch draws, as a function of (classes, seed, epoch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tlx.data.augmentation.randomness import mix


def members_of(classes: Sequence[Sequence[int]]) -> dict[int, Tensor]:
    """Return class -> images (n,) that show it, ascending, int64.

    Args:
        classes: Of each image; one that shows none is drawn in no epoch.
    """
    members: dict[int, list[int]] = {}
    for image, own in enumerate(classes):
        for one in own:
            members.setdefault(one, []).append(image)
    return {one: torch.tensor(members[one]) for one in sorted(members)}


def balanced_epoch(members: Mapping[int, Tensor], size: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """Return as many images as there are, of every class equally many.

    What does not divide evenly goes to some classes in one epoch and to others in the next. The images of a class come
    round by round, each round in an order of its own, so that none is drawn twice more than another: those of a small
    class come several times in an epoch, those of a large one take turns over epochs.

    Args:
        members: Class -> images that show it, see `members_of`.
        size: Images of an epoch N, as many as there are.
        seed: Any integer.
        epoch: From 0.

    Returns:
        The images in the order in which they are seen (N,), and how often each of them was drawn before (N,), in this
        epoch too: no image of one class has a number twice.
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
    """How many images of a class, the `place`-th, all epochs before this one have drawn."""
    each, rest = divmod(size, classes)
    turns, left = divmod(epoch * rest, classes)  # those that are left over go round
    return epoch * each + turns + (place < left)


def _of_a_class(members: Tensor, first: int, last: int, seed: int, one: int) -> list[tuple[Tensor, Tensor]]:
    """Draws `first` to `last` - 1 of a class: images and rounds, part by part."""
    count = len(members)
    parts = []
    whole = range(-(-first // count), last // count)  # rounds of which every image is drawn: their order is no matter
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
