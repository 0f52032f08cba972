"""Find a learning rate for a run that diverged in its first epoch: a few steps at lower and lower rates."""

from __future__ import annotations

import copy
import itertools
import logging
import math
from typing import Any

import torch
from omegaconf import DictConfig

from tlx.data.datamodule import ImageDataModule
from tlx.strategies.parameter_groups import layer_group
from tlx.strategies.plan import PlannedStage
from tlx.tasks.module import Task
from tlx.tasks.network import Batch
from tlx.training.planning import plan
from tlx.training.timing import HALF, device_of_steps, on_device

log = logging.getLogger("tlx")
STEPS = 5  # at the height of the schedule: a loss that will be no number is far above the first one by then
HIGHEST, LOWEST = 100.0, 1e-7  # rates that are tried, each a tenth of the one before
_GROWS = 2.0  # times the first loss, beyond which a loss is on its way to infinity


def rate_told(config: DictConfig, data: ImageDataModule, task: Task) -> str:
    """Return what to type: the largest lower `optimizer.lr` at which a few steps of the first stage do not diverge.

    Args:
        config: Of a run whose loss became NaN or infinite before an epoch was completed.
        data: Its images.
        task: Its network with the weights that it began with; it stays as it is.
    """
    given = float(config.optimizer.lr)
    device = device_of_steps(config)
    loader: Any = data.train_dataloader()
    batches = [on_device(batch, device) for batch in itertools.islice(loader, STEPS)]
    rate = min(given, HIGHEST * 10) / 10
    while rate >= LOWEST:
        lower = copy.deepcopy(config)
        lower.optimizer.lr = rate
        if _holds(lower, batches, plan(lower, task.group_names)[0], copy.deepcopy(task).to(device)):
            return (
                f"Of lower rates that were tried for {STEPS} steps, optimizer.lr={rate:.2g} is the largest that did not"
            )
        rate /= 10
    return f"No lower rate down to {LOWEST:g} did better: the cause is another, such as trainer.precision or weights"


def _holds(config: DictConfig, batches: list[Batch], stage: PlannedStage, task: Task) -> bool:
    """Return whether the loss stays a number and near the first one."""
    precision, clipped = str(config.trainer.precision), config.trainer.gradient_clip_val
    task.set_layout(bool(config.trainer.channels_last))
    task.train_groups(stage)
    task.train()
    optimizer, rates = task.configure_optimizers(), dict(zip(stage.trained, stage.peak_lr, strict=True))
    for group in optimizer.param_groups:
        group["lr"] = rates.get(layer_group(group), 0.0)
    losses: list[float] = []
    for batch in itertools.islice(itertools.cycle(batches), STEPS + 1):  # the last one for the loss after the last step
        device = batch["image"].device.type
        with torch.autocast(device, HALF.get(precision, torch.bfloat16), enabled=precision in HALF):
            loss = task.loss(batch)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clipped is not None:
            torch.nn.utils.clip_grad_norm_(task.parameters(), clipped)
        optimizer.step()
    holds = math.isfinite(losses[-1]) and losses[-1] <= _GROWS * max(losses[0], 1.0)
    log.info("tried: optimizer.lr=%.2g: loss %.3g, then %.3g", config.optimizer.lr, losses[0], losses[-1])
    return holds
