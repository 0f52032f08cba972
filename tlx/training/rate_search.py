"""Suggest a learning rate for a run that diverged in its first epoch, by trying a few steps at lower rates."""

from __future__ import annotations

import copy
import itertools
import logging
import math
from typing import Any

import torch
from omegaconf import DictConfig

from tlx.data.datamodule import ImageDataModule
from tlx.features.precision import autocast
from tlx.strategies.parameter_groups import layer_group
from tlx.strategies.plan import PlannedStage
from tlx.tasks.module import Task
from tlx.tasks.network import Batch
from tlx.training.planning import plan
from tlx.training.timing import device_of_steps, on_device

log = logging.getLogger("tlx")
STEPS = 5  # at the peak of the schedule: a loss that will diverge is far above the first one by then
HIGHEST, LOWEST = 100.0, 1e-7  # bounds of the tried rates; each is a tenth of the previous one
_GROWS = 2.0  # a loss above this multiple of the first one counts as diverging


def suggested_rate(config: DictConfig, data: ImageDataModule, task: Task) -> str:
    """Return a hint with the largest lower `optimizer.lr` at which a few steps of the first stage do not diverge.

    Args:
        config: Configuration of a run whose loss became NaN or infinite within the first epoch.
        data: Its images.
        task: Its network with the initial weights; it is not changed.
    """
    given = float(config.optimizer.lr)
    device = device_of_steps(config)
    loader: Any = data.train_dataloader()
    batches = [on_device(batch, device) for batch in itertools.islice(loader, STEPS)]
    rate = min(given, HIGHEST * 10) / 10
    while rate >= LOWEST:
        lower = copy.deepcopy(config)
        lower.optimizer.lr = rate
        if _is_stable(lower, batches, plan(lower, task.group_names)[0], copy.deepcopy(task).to(device)):
            return f"Of the lower rates tried for {STEPS} steps, optimizer.lr={rate:.2g} is the largest that did not"
        rate /= 10
    return f"No lower rate down to {LOWEST:g} helped: there is another cause, such as trainer.precision or weights"


def _is_stable(config: DictConfig, batches: list[Batch], stage: PlannedStage, task: Task) -> bool:
    """Return whether the loss stays finite and close to the first one."""
    precision, clipped = str(config.trainer.precision), config.trainer.gradient_clip_val
    task.set_memory_format(bool(config.trainer.channels_last))
    task.train_groups(stage)
    task.train()
    optimizer, rates = task.configure_optimizers(), dict(zip(stage.trained, stage.peak_lr, strict=True))
    for group in optimizer.param_groups:
        group["lr"] = rates.get(layer_group(group), 0.0)
    losses: list[float] = []
    for batch in itertools.islice(itertools.cycle(batches), STEPS + 1):  # the last for the loss after the last step
        with autocast(batch["image"].device, precision):
            loss = task.loss(batch)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clipped is not None:
            torch.nn.utils.clip_grad_norm_(task.parameters(), clipped)
        optimizer.step()
    stable = math.isfinite(losses[-1]) and losses[-1] <= _GROWS * max(losses[0], 1.0)
    log.info("tried: optimizer.lr=%.2g: loss %.3g, then %.3g", config.optimizer.lr, losses[0], losses[-1])
    return stable
