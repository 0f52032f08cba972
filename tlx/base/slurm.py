"""What SLURM says of this process. An allocation (`salloc`, a batch script) is no step: `srun` starts processes."""

from __future__ import annotations

import os
from collections.abc import Mapping


def tasks_of_step(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes `srun` started together, this one among them; 1 where it did not start this one.

    SLURM_NTASKS is no answer: in an allocation it says how many processes there may be.
    """
    told = environment.get("SLURM_STEP_NUM_TASKS", "")
    return int(told) if told.isascii() and told.isdigit() else 1


def is_one_of_several(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun or `srun` started this process as one of several."""
    return "LOCAL_RANK" in environment or tasks_of_step(environment) > 1
