"""Sweeps: many runs from one command, by whichever launcher, and what came out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from omegaconf import DictConfig

    from tlx.strategies.stages import Stages


def sweep_callbacks(config: DictConfig, stages: Stages) -> list[pl.Callback]:
    """Return the callbacks that the sweep in which a run takes part adds to its training; none outside a search."""
    import os

    from tlx.config.selection import monitored
    from tlx.sweeps.trial import TRIAL, TrialPlace

    if TRIAL not in os.environ:
        return []
    from tlx.sweeps.pruning import Pruning

    return [Pruning(TrialPlace.heard(os.environ[TRIAL]), monitored(config).name, stages)]
