"""The division of an epoch into batches."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from tlx.data.batches.even import EvenBatches, batches_of_epoch
from tlx.data.batches.sampler import EpochSampler


def batches(images: int, batches: int, rank: int = 0, world: int = 1, skipped: int = 0) -> list[list[tuple[int, int]]]:
    sampler = EpochSampler(images, 0, shuffle=True)
    sampler.set_epoch(1)
    even = EvenBatches(sampler, batches, rank, world)
    even.skipped = skipped
    found = list(even)
    assert len(found) == len(even) - skipped
    assert max(map(len, found)) <= even.largest
    assert len(list(even)) == len(even), "skipped once"
    return found


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("accumulated", [1, 3])
@pytest.mark.parametrize("size", [4, 8, 32])
@pytest.mark.parametrize("images", [12, 60, 61, 97, 1000])
def test_every_image_counts_once_in_batches_of_one_size_or_two(images, size, accumulated, world):
    """Guards against images that an epoch leaves out, a tiny last batch, other batches than those of one process, and
    a process that waits for a batch for ever."""
    number = batches_of_epoch(images, size * world, accumulated, world)
    whole, shards = batches(images, number), [batches(images, number, rank, world) for rank in range(world)]
    assert sorted(index for _, index in chain(*whole)) == list(range(images))
    assert {len(shard) for shard in shards} == {number}
    sizes = {len(batch) for shard in shards for batch in shard}
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= size
    assert min(sizes) >= 2
    for step, together in enumerate(zip(*shards, strict=True)):
        assert sorted(chain(*together)) == sorted(whole[step])
    assert number % accumulated == 0 or images < 2 * world * accumulated


@pytest.mark.parametrize(
    ("images", "size", "expected"),
    [(60, 32, [30, 30]), (60, 8, [7, 8, 7, 8, 7, 8, 7, 8]), (65, 32, [21, 22, 22]), (5, 32, [5]), (3, 1, [1, 1, 1])],
)
def test_sizes(images, size, expected):
    """Guards against batches other than the nearest even ones below the batch size."""
    assert sorted(len(batch) for batch in batches(images, batches_of_epoch(images, size))) == sorted(expected)


def test_no_image_is_left_alone():
    """Guards against a batch of one, on which BatchNorm cannot train, where someone asked for two or more."""
    assert sorted(len(batch) for batch in batches(7, batches_of_epoch(7, 2))) == [2, 2, 3]
    assert batches_of_epoch(5, 4, accumulated=4) == 2
    assert sorted(len(b) for r in (0, 1) for b in batches(9, batches_of_epoch(9, 4, 1, 2), r, 2)) == [2, 2, 2, 3]


def test_fewer_images_than_processes():
    """Guards against a process without a batch, which would leave the others waiting for ever."""
    number = batches_of_epoch(2, 6, world=3)
    shards = [batches(2, number, rank, 3) for rank in range(3)]
    assert [[len(batch) for batch in shard] for shard in shards] == [[1]] * 3
    assert {index for shard in shards for _, index in shard[0]} == {0, 1}


@pytest.mark.parametrize("world", [1, 3])
def test_a_rest_of_an_epoch_is_that_of_the_whole(world):
    """Guards against a run of several processes that, going on within an epoch, sees images twice and others never."""
    for rank in range(world):
        assert batches(61, 9, rank, world, skipped=4) == batches(61, 9, rank, world)[4:]


def test_the_mean_over_processes_is_the_mean_over_images():
    """Guards against gradients in which the images of the smaller share of a batch weigh more."""
    values = torch.rand(61, dtype=torch.float64)
    parts = [EvenBatches(EpochSampler(61, 0, shuffle=True), 9, rank, 3) for rank in range(3)]
    for number, shares in enumerate(zip(*parts, strict=True)):
        drawn = [values[[index for _, index in share]] for share in shares]
        weighted = [part.weight(number) * own.mean() for part, own in zip(parts, drawn, strict=True)]
        assert sum(weighted) / 3 == pytest.approx(float(torch.cat(drawn).mean()), abs=1e-12)
    assert EvenBatches(EpochSampler(61, 0, shuffle=True), 9).weight(4) == 1


@pytest.mark.parametrize(
    ("images", "number", "world", "most"), [(61, 9, 3, 2), (64, 2, 1, 5), (61, 9, 1, 4), (7, 1, 2, 3)]
)
def test_micro_batches_are_the_batch_in_parts(images, number, world, most):
    """Guards against other images in a step, a process with fewer micro batches than another, for which that one would
    wait for ever, and a mean over micro batches of unequal numbers of images."""
    values = torch.rand(images, dtype=torch.float64)
    sampler = EpochSampler(images, 0, shuffle=True)
    whole, means = [EvenBatches(sampler, number, rank, world) for rank in range(world)], [0.0] * number
    for rank in range(world):
        micro = EvenBatches(sampler, number, rank, world, most)
        drawn = list(micro)
        assert len(drawn) == len(micro) == number * micro.parts
        assert max(map(len, drawn)) <= micro.largest <= most
        assert min(map(len, drawn)) > 0
        for step, batch in enumerate(whole[rank]):
            own = range(step * micro.parts, (step + 1) * micro.parts)
            assert list(chain(*(drawn[one] for one in own))) == batch
            means[step] += sum(
                micro.weight(one) * float(values[[index for _, index in drawn[one]]].mean()) for one in own
            ) / (micro.parts * world)
        micro.skipped = 3
        assert list(micro) == drawn[3:]
    for step, together in enumerate(zip(*whole, strict=True)):
        assert means[step] == pytest.approx(float(values[[i for _, i in chain(*together)]].mean()), abs=1e-12)


def test_batches_of_one_image_and_of_two():
    """Guards against a micro batch without an image, whose mean is NaN."""
    even = EvenBatches(EpochSampler(5, 0, shuffle=True), 3, at_once=1)
    assert sorted(map(len, even)) == [1, 2, 2]
