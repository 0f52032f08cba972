"""`dataset.micro_batch`: where the gradients of micro batches add up to those of the batch, and how many images fit."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from tlx.base.compat.torch import BatchNorm
from tlx.base.errors import TlxError
from tlx.features.precision import autocast
from tlx.records.settled import AUTO
from tlx.strategies.plan import PlannedStage
from tlx.tasks.module import Task
from tlx.training.devices import processes
from tlx.training.epoch_length import entry_of
from tlx.training.memory import averages_kept, images_that_fit
from tlx.training.planning import plan
from tlx.training.timing import Timing, device_of_steps, on_device

log = logging.getLogger("tlx")

_SPARE = 0.1  # part of the free memory of a GPU that a trial leaves to batches copied ahead and to fragmentation


def need_sums_over_images(config: DictConfig, task: Task, stages: Sequence[PlannedStage]) -> None:
    """Refuse micro batches where something looks at all images of a batch together.

    Args:
        config: The configuration.
        task: The network.
        stages: The planned stages.

    Raises:
        TlxError: The loss divides by sums over a batch, or BatchNorm trains; the message says what to type.
    """
    asked = config.dataset.get("micro_batch")
    if asked is None:
        return
    got = f"got {asked}; type dataset.micro_batch=null"
    if task.divides_by_whole_batch:
        raise TlxError(f"dataset.micro_batch: expected null for a loss that divides by sums over a whole batch, {got}")
    moving = [(number, stage, _with_statistics(task, stage)) for number, stage in enumerate(stages)]
    moving = [(number, stage, groups) for number, stage, groups in moving if groups]
    if not moving:
        return
    if not any(group in task.upper_groups for _, _, groups in moving for group in groups):
        typed = dict.fromkeys(f"strategy.stages.{entry_of(config, s, n)}.batch_norm=frozen" for n, s, _ in moving)
        got += f", or freeze its statistics: {' '.join(typed)}"
    names = ", ".join(stage.name for _, stage, _ in moving)
    raise TlxError(
        f"dataset.micro_batch: expected null where BatchNorm trains (stage {names}), because its statistics would be "
        f"those of a micro batch, {got}"
    )


def _with_statistics(task: Task, stage: PlannedStage) -> list[str]:
    """Return the layer groups whose BatchNorm takes the statistics of a batch in a stage."""

    def moves(group: str) -> bool:
        if group in task.upper_groups or stage.batch_norm == "train":
            return group in stage.trained
        return stage.batch_norm == "adapt"

    norms = {g: any(isinstance(m, BatchNorm) for one in task.group_modules(g) for m in one.modules())
             for g in task.group_names}  # fmt: skip
    return [group for group, has in norms.items() if has and moves(group)]


def largest_that_fits(timing: Timing) -> int:
    """Return how many images of a batch a process computes at once, and log it; `timing.data` keeps it.

    On a GPU a trial decides: a forward and backward step of the stage that trains the most layer groups, for the whole
    share of a batch, then for half of it, and so on. Elsewhere half of the free memory does, by an estimate.

    Args:
        timing: The run; its network is not changed.
    """
    config, data = timing.config, timing.data
    count: int = processes(config) * config.trainer.num_nodes
    share = min(data.trained_share(count), data.sizes["train"])
    device = device_of_steps(config)
    if device.type == "cuda":
        found, how = halved(share, lambda images: _fits(timing, images, device)), "by a trial on the GPU"
    else:
        found, how = images_that_fit(config, share), "by an estimate of the memory"
    data.micro_batch = found
    parts = data.micro_batches(count)
    divided = "batches stay whole" if parts == 1 else f"a batch is {parts} micro batches"
    log.info("dataset.micro_batch=auto: %d images at once, %s; %s", found, how, divided)
    return found


def halved(most: int, fits: Callable[[int], bool]) -> int:
    """Return the first of `most`, its half, its quarter, … that fits, and 1 if none does.

    Examples:
        >>> from tlx.training.micro_batch import halved
        >>> halved(100, lambda images: images <= 30)
        25
    """
    while most > 1 and not fits(most):
        most = -(-most // 2)
    return most


def _fits(timing: Timing, images: int, device: torch.device) -> bool:
    """Return whether a step with so many images fits into the memory of a GPU."""
    try:
        _step(timing, images, device)
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def _step(timing: Timing, images: int, device: torch.device) -> None:
    """Take a step, with room for what the optimizer and the average of weights keep."""
    config, data, task = timing.config, timing.data, timing.task
    trainer = config.trainer
    stage = max(plan(config, task.group_names), key=lambda one: len(one.trained))
    model = copy.deepcopy(task).to(device)
    model.set_memory_format(trainer.channels_last is True)
    model.train_groups(stage)
    model.train()
    precision = "32-true" if trainer.precision == AUTO else str(trainer.precision)
    kept: list[Tensor] = [
        torch.empty_like(parameter)
        for parameter in model.parameters()
        for _ in range(averages_kept(config))
        if parameter.requires_grad
    ]
    kept.append(torch.empty(int(_SPARE * torch.cuda.mem_get_info(device)[0]), dtype=torch.uint8, device=device))
    count = data.sizes["train"]
    batch: Any = data.training_batch([k * count // images for k in range(images)], epoch=0)
    with autocast(device, precision):
        loss = model.loss(on_device(batch, device))
    loss.backward()
    torch.cuda.synchronize(device)
