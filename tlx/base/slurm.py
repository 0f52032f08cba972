"""What SLURM's variables say about this process. Only `srun` starts a step; `salloc` and batch scripts do not."""

from __future__ import annotations

import os
from collections.abc import Mapping


def tasks_of_step(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes that `srun` started with this one; 1 if `srun` did not start this one.

    SLURM_NTASKS cannot be used: in an allocation it is the number of processes that may be started.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    return int(tasks) if tasks.isascii() and tasks.isdigit() else 1


def is_one_of_several(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun or `srun` started this process as one of several."""
    return "LOCAL_RANK" in environment or tasks_of_step(environment) > 1
