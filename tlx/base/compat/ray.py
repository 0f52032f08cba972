"""Private names of Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.job_config import JobConfig


def job_config(path: Sequence[str]) -> JobConfig:
    """Return the settings with which workers look for modules where this process does, and nowhere else.

    Args:
        path: Folders, the first one first.
    """
    from ray.job_config import JobConfig

    return JobConfig(_py_driver_sys_path=_AsGiven(reversed(path)))  # Ray puts each before the last


class _AsGiven(list[str]):
    """Ray adds the working directory to where its workers look for modules first; not to this list."""

    def extend(self, more: object) -> None:
        """Add nothing."""
