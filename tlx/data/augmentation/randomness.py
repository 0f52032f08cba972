"""Random numbers that belong to one item, whichever process draws them and whatever was drawn before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def mix(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part, evenly spread even for parts that differ little."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Let torch's CPU generator start from `mix(*parts)` inside, and go on outside as if nothing had been drawn.

    `torch.manual_seed` and `torch.random.fork_rng` would visit every accelerator too, for every item.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(mix(*parts))
    try:
        yield
    finally:
        generator.set_state(state)
