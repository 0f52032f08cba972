"""Random numbers that depend only on the item, not on the process or on earlier draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def mix(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part; similar parts give unrelated seeds."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed torch's CPU generator with `mix(*parts)` inside, and restore its state afterwards.

    `torch.manual_seed` and `torch.random.fork_rng` would also access every accelerator, for each item.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(mix(*parts))
    try:
        yield
    finally:
        generator.set_state(state)
