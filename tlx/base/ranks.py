"""Which of several processes that train together this one is."""

from __future__ import annotations

import os

from tlx.base.slurm import tasks_of_step


def is_first() -> bool:
    """Return whether this process writes: it is alone or the first of several."""
    rank = os.environ.get("SLURM_PROCID", "0") if tasks_of_step() > 1 else "0"
    return int(os.environ.get("RANK", rank)) == 0


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process among those that train together, and how many they are, once they have met."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
