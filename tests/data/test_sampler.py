from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from tlx.data.batches.sampler import PADDING, EpochSampler


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
