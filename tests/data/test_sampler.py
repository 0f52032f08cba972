from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from tlx.data.batches.sampler import PADDING, EpochSampler


def batched(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def indices(size: int, epoch: int = 0, **how: object) -> list[int]:
    sampler = EpochSampler(size, seed=how.pop("seed", 0), **how)
    sampler.set_epoch(epoch)
    pairs = list(sampler)
    assert len(pairs) == len(sampler)
    assert {e for e, _ in pairs} <= {epoch}
    return [i for _, i in pairs]


def test_order_is_a_function_of_seed_and_epoch():
    """Guards against a resumed run seeing other images than one that was never stopped."""
    orders = [tuple(indices(100, epoch, seed=seed, shuffle=True)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(orders)) == 6
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[2] == tuple(indices(100, 2, seed=0, shuffle=True))


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("size", [64, 101, 7])
def test_processes_together_see_the_batches_of_one(size, world):
    """Guards against distributed training that is another training: two with batch B must equal one with 2 B."""
    batch = 4
    whole = [set(b) for b in batched(indices(size, 1, shuffle=True), batch * world)]
    shards = [indices(size, 1, shuffle=True, rank=rank, world=world) for rank in range(world)]
    assert len({len(shard) for shard in shards}) == 1
    for step, together in enumerate(zip(*(batched(shard, batch) for shard in shards), strict=True)):
        seen = set(chain(*together))
        assert seen <= whole[step]
        if len(seen) == batch * world:
            assert seen == whole[step]
    assert len(set(chain(*shards))) == size - size % world


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 4, 10, 11])
def test_evaluation_counts_every_image_once(size, world):
    """Guards against figures that change with the number of processes because some images count twice."""
    shards = [indices(size, shuffle=False, rank=rank, world=world) for rank in range(world)]
    assert len({len(shard) for shard in shards}) == 1
    counts = Counter(chain(*shards))
    padding = counts.pop(PADDING, 0)
    assert counts == dict.fromkeys(range(size), 1)
    assert padding == -size % world


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [60, 7, 2])
def test_a_rest_of_an_epoch_is_that_of_the_whole(size, world):
    """Guards against a run of several processes that, going on within an epoch, sees images twice and others never."""
    for rank in range(world):
        sampler = EpochSampler(size, seed=0, shuffle=True, rank=rank, world=world)
        whole = list(sampler)
        sampler.skipped = len(whole) // 3
        assert list(sampler) == whole[len(whole) // 3 :]
        assert list(sampler) == whole, "once"


def test_fewer_images_than_processes():
    """Guards against a process without a batch, which would leave the others waiting for ever."""
    shards = [indices(2, shuffle=True, rank=rank, world=3) for rank in range(3)]
    assert [len(shard) for shard in shards] == [1, 1, 1]
    assert set(chain(*shards)) == {0, 1}
