"""The rank of this process among the processes that train together."""

from __future__ import annotations

import os

from tlx.base.slurm import tasks_of_step


def is_first() -> bool:
    """Return whether this process is process 0 or the only one. Only process 0 writes files."""
    rank = os.environ.get("SLURM_PROCID", "0") if tasks_of_step() > 1 else "0"
    return int(os.environ.get("RANK", rank)) == 0


def rank_and_world() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; (0, 1) before the process group exists."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
