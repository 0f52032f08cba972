"""Every combination of the swept values: Hydra's own sweeper, with jobs composed once."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper, but for a check that the launcher makes anyway, 0.1 s a job."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: the launcher composes and checks every job before the first one starts."""
