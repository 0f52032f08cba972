"""How many epochs lie between two validations of a stage: `trainer.validate_every`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from omegaconf import DictConfig

from tlx.callbacks.trial_place import TRIAL
from tlx.records.settled import AUTO
from tlx.strategies.plan import PlannedStage
from tlx.strategies.validated import enough


def validation_rhythm(config: DictConfig, stages: Sequence[PlannedStage], decides: bool) -> list[int]:
    """Return the epochs from one validation to the next, for each stage.

    A validation decides something where it selects weights, where patience waits for it and where a search compares it.
    Otherwise it is a point of a curve, and `auto` needs about 40 of them a stage.

    Args:
        config: The configuration of the run. That of an older run has no `trainer.validate_every`: each epoch.
        stages: Its planned stages.
        decides: Whether validation selects the weights of a stage.
    """
    typed = config.trainer.get("validate_every", 1)
    if typed != AUTO:
        return [int(typed)] * len(stages)
    waits = config.trainer.patience is not None or any(stage.patience is not None for stage in stages)
    each = decides or waits or TRIAL in os.environ
    return [1 if each else enough(stage.epochs) for stage in stages]


def rarely_validated(stages: Sequence[PlannedStage], every: Sequence[int]) -> list[str]:
    """Return a line for each stage of which epochs are not validated."""
    return [
        f"stage {stage.name}: validated every {count} epochs and at its end (trainer.validate_every=1: each)"
        for stage, count in zip(stages, every, strict=True)
        if 1 < count < stage.epochs
    ]
