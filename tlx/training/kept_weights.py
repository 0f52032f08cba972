"""Which weights a stage ends with: those that were best on the validation images, or the last ones."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from tlx.base.printable import counted
from tlx.records.settled import AUTO
from tlx.strategies.plan import PlannedStage
from tlx.tasks.kind import TaskKind


def keeps_last(config: DictConfig, stages: Sequence[PlannedStage], kind: TaskKind, validated: int) -> bool:
    """Return whether the last weights of a stage are kept instead of the best ones.

    A few validation images cannot tell which epoch is best: several epochs have the same accuracy, and the first of
    them, with weights that have hardly moved, would be chosen. `trainer.keep=auto` therefore keeps the last weights,
    whose rate has fallen to zero, where fewer images validate than the task needs. It keeps the best ones where the
    user ends stages early (`patience`) and in domain adaptation, which may drift apart late.

    Args:
        config: The configuration of the run. That of an older run has no `trainer.keep`; it keeps the best weights.
        stages: Its planned stages.
        kind: The kind of its task.
        validated: The number of validation images.
    """
    choice = config.trainer.get("keep", "best")
    if choice != AUTO:
        return bool(choice == "last")
    ends_early = config.trainer.patience is not None or any(stage.patience is not None for stage in stages)
    adapts = config.get("target") is not None or config.strategy.get("adapt") is not None
    return 0 < validated < kind.selecting_images and not ends_early and not adapts


def too_few_to_select(validated: int, monitor: str) -> str:
    """Return a line that says why the last weights are kept.

    Args:
        validated: The number of validation images.
        monitor: The logged value that would select weights.
    """
    images = counted(validated, "validation image is", "validation images are")
    return (
        f"the last weights of a stage are kept: {images} too few to select an epoch; "
        f"trainer.keep=best selects by {monitor}"
    )
