"""How many steps an epoch has, why, and whether the stages of a plan have enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from tlx.base.printable import counted
from tlx.data.batch_size import batch_size_of, reason
from tlx.data.batches.even import batches_of_epoch
from tlx.data.labelled import LabelledImages
from tlx.records.settled import AUTO
from tlx.strategies.folds import count_of_folds
from tlx.strategies.plan import PlannedStage
from tlx.training.devices import processes

FEW, FEW_FOR_A_HEAD = 100, 50  # a stage with fewer steps is a warning
ADVISED, ADVISED_FOR_A_HEAD = 500, 150  # steps that the warning suggests: those of shipped strategies


@dataclass(frozen=True)
class EpochLength:
    """The length of an epoch.

    Args:
        images: Images, or crops, that an epoch draws.
        batch: The most images of a step of all processes, without accumulation.
        steps: Optimizer steps.
        why: Why the batch has its size, a few words; '' if a number is typed.
        limited: Whether `trainer.limit_batches` cuts the epoch short.
        crops: Crops of each training image; None: images are trained on whole.
        at_once: `dataset.micro_batch`, where it divides the share of a process; None: nothing does.
    """

    images: int
    batch: int
    steps: int
    why: str
    limited: bool = False
    crops: int | None = None
    at_once: int | str | None = None

    def describe(self, stages: Sequence[PlannedStage]) -> list[str]:
        """Return lines: the length of an epoch, of all stages, and of stages that have more epochs than they name."""
        drawn = f"{self.images:,} training images"
        if self.crops is not None:
            times = counted(self.crops, "crop", "crops")
            drawn = f"{times} of each training image (dataset.repeats), {self.images:,} in all"
        total = sum(stage.epochs for stage in stages) * self.steps
        why = f" ({self.why})" if self.why else ""
        first = f"an epoch: {drawn}, {counted(self.steps, 'step', 'steps')}; {total:,} steps in all stages"
        return [first, f"batches of {self.batch}{why}{self._divided}", *_lengthened(stages)]

    @property
    def _divided(self) -> str:
        if self.at_once is None:
            return ""
        most = "as many as fit" if self.at_once == AUTO else str(self.at_once)
        return f"; a device computes {most} at once (dataset.micro_batch={self.at_once})"


def epoch_of(config: DictConfig, data: LabelledImages) -> EpochLength:
    """Return the length of an epoch of loaded images."""
    crops = data.repeats if data.in_parts else None
    return _length(config, len(data.checked.splits["train"]), data.sizes["train"], crops)


def epoch_of_images(config: DictConfig, images: int) -> EpochLength:
    """Return the length of an epoch of a number of images that are trained on whole."""
    return _length(config, images, images, None)


def _length(config: DictConfig, images: int, drawn: int, crops: int | None) -> EpochLength:
    count = processes(config) * config.trainer.num_nodes
    every: int = config.trainer.accumulate_grad_batches
    batch = batch_size_of(config.dataset, images, crops is not None, count)
    batches = batches_of_epoch(drawn, batch, every, count)
    most = min(batches, config.trainer.limit_batches or batches)
    why = reason(config.dataset, images, crops is not None)
    at_once = config.dataset.get("micro_batch")
    divides = at_once == AUTO or (at_once is not None and at_once * count < batch)
    return EpochLength(drawn, batch, -(-most // every), why, most < batches, crops, at_once if divides else None)


def folds_line(config: DictConfig, stages: Sequence[PlannedStage], epoch: EpochLength) -> str:
    """Return how many folds train, and in how many steps.

    Args:
        config: A configuration with `validation=kfold`.
        stages: The planned stages of a fold.
        epoch: The length of an epoch of a fold.
    """
    count = count_of_folds(config)
    steps = epoch.steps * sum(stage.epochs for stage in stages)
    return f"{count} folds of {counted(steps, 'step', 'steps')} each, {count * steps:,} in all (validation=kfold)"


def _lengthened(stages: Sequence[PlannedStage]) -> list[str]:
    """Return a line for each stage that has more epochs than it names, with the reason."""
    return [
        f"stage {stage.name}: {counted(stage.epochs, 'epoch', 'epochs')} instead of {stage.named_epochs}, "
        f"for {stage.min_steps:,} steps (min_steps)"
        for stage in stages
        if stage.epochs > stage.named_epochs
    ]


def too_short(
    config: DictConfig, stages: Sequence[PlannedStage], epoch: EpochLength, upper: Sequence[str]
) -> list[str]:
    """Return a warning for each stage with few steps, with what to type.

    Args:
        config: The configuration.
        stages: The planned stages.
        epoch: The length of an epoch.
        upper: The layer groups above the backbone.
    """
    found: list[str] = []
    for number, stage in enumerate(stages):
        head_only = set(stage.trained) <= set(upper)
        enough, advised = (FEW_FOR_A_HEAD, ADVISED_FOR_A_HEAD) if head_only else (FEW, ADVISED)
        steps = stage.epochs * epoch.steps
        if epoch.limited or steps >= min(enough, stage.min_steps or enough):
            continue
        cap: int | None = config.trainer.stage_epochs
        capped = cap is not None and stage.epochs == cap
        entry = entry_of(config, stage, number)
        typed = "trainer.stage_epochs=null" if capped else f"strategy.stages.{entry}.min_steps={advised}"
        found.append(
            f"stage {stage.name}: {counted(steps, 'step', 'steps')} in all may be too few to learn from; "
            f"for longer training type {typed}"
        )
    return found


def entry_of(config: DictConfig, stage: PlannedStage, number: int) -> int:
    """Return the number of the strategy's entry from which a planned stage comes; one entry may become several.

    Args:
        config: The configuration.
        stage: The planned stage.
        number: Its number among the planned stages, from 0, which is returned if no entry has its name.
    """
    names = [str(one.name) for one in config.strategy.stages]
    return next((i for i, name in enumerate(names) if f"{stage.name}_".startswith(f"{name}_")), number)
