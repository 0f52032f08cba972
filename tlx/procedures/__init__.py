"""How a run learns and is tested: in stages with gradients, or by a classifier on frozen features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    from tlx.procedures.base import Procedure


def procedure_of(config: DictConfig) -> type[Procedure]:
    """Return the procedure that a configuration asks for. The only place that decides it."""
    if config.get("classifier") is not None:
        from tlx.procedures.classical import ClassicalClassifier  # scikit-learn takes a second to import

        return ClassicalClassifier
    from tlx.procedures.stages import StagedTraining

    return StagedTraining
