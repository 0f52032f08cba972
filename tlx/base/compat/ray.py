"""Private names of Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.job_config import JobConfig


def job_config(path: Sequence[str]) -> JobConfig:
    """Return settings that make workers look for modules in these folders, and nowhere else.

    Args:
        path: Folders, in the order of the search.
    """
    from ray.job_config import JobConfig

    return JobConfig(_py_driver_sys_path=_FixedList(reversed(path)))  # Ray inserts each one before the others


class _FixedList(list[str]):
    """A list to which Ray cannot add the working directory, which its workers would search first."""

    def extend(self, more: object) -> None:
        """Add nothing."""
