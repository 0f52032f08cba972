"""Average the weights of a stage over its steps, and show the average to everything that looks at the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tlx.base.compat.torch import NormBase
from tlx.base.gradients import no_gradients
from tlx.callbacks.stages import Stages
from tlx.strategies.averaging import share_of_step
from tlx.tasks.module import Task

log = logging.getLogger("tlx")


class Averaging(pl.Callback):
    """Averages the weights that train, and the BatchNorm statistics that move, over the steps of each stage.

    - **Steps** see and change the network's own weights.
    - **Everything else** sees the average, once the stage has one: from the end of an epoch's steps until the next
      epoch begins it is in the network. So it is what is validated, compared, kept in best.ckpt and stage_best.ckpt,
      tested and predicted with.
    - **When a stage ends**, the average stays in the network: the next stage starts from it, and begins another.
    - **last.ckpt** holds the network's own weights, and the average besides, so that a run resumes exactly.

    Frozen groups are not touched. Statistics are averaged like weights: those of `batch_norm: frozen` are equal in all
    steps, and those that move are themselves a moving average over the last ten steps or so. That costs no pass over
    the training images, which Izmailov et al. (2018) need because the rates of their last steps stay high.

    Lightning's WeightAveraging does not fit: it validates with the initial weights until the first step is averaged,
    knows no stages, and copies frozen groups as well.

    Args:
        stages: The callback that runs the plan; it runs before this one.
        average: `trainer.average_weights`: a fraction, or `ema`.
    """

    def __init__(self, stages: Stages, average: float | str) -> None:
        self.stages, self.choice = stages, average
        self.average: dict[str, Tensor] = {}  # by name in the network, float32 or more; {}: none in this stage yet
        self._own: dict[str, Tensor] = {}  # the network's own weights while the average is in it
        self._seen = 0  # optimizer steps so far, counted over the run

    # The state in a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it from a checkpoint."""
        self.average = dict(state_dict["average"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the network's own weights into last.ckpt; Lightning does not call this for files of weights alone."""
        checkpoint["state_dict"].update(self._own)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take up a restored average."""
        self._seen = trainer.global_step
        held = dict(_tensors(pl_module))
        for name, value in self.average.items():
            if name not in held or held[name].shape != value.shape:
                raise ValueError(f"average of {name}: {tuple(value.shape)}")
            self.average[name] = value.to(held[name].device, copy=True)

    # Steps and epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on from the network's own weights."""
        _fill(pl_module, self._own)
        self._own = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the weights after an optimizer step."""
        if trainer.global_step == self._seen:  # gradients are accumulated
            return
        self._seen = trainer.global_step
        done = trainer.global_step - self.stages.first_step
        share = share_of_step(self.choice, done, self.stages.steps_of_stage(trainer))
        if share is not None:
            self._add(pl_module, share)

    @no_gradients()
    def _add(self, module: pl.LightningModule, share: float) -> None:
        held = dict(_tensors(module))
        if not self.average:
            self.average = {name: _precise(held[name]).clone() for name in _moving(module, self.stages.stage.trained)}
            return
        averages = list(self.average.values())
        current = [_precise(held[name]) for name in self.average]
        get_ema_multi_avg_fn(1 - share)(averages, current, 0)  # average += share * (current - average), in few kernels

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the average."""
        self._show(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the average to the callbacks that follow; at the end of the stage, leave it in the network."""
        self._show(pl_module)
        if self.stages.stage is self.stages.running and not trainer.should_stop:
            return
        if not self.average:
            log.info(
                "stage %s ended before the steps to average (trainer.average_weights=%s): its last weights count",
                self.stages.running.name, self.choice,
            )  # fmt: skip
        self.average, self._own = {}, {}

    @no_gradients()
    def _show(self, module: pl.LightningModule) -> None:
        if self._own:
            return
        held = dict(_tensors(module))
        if dist.is_available() and dist.is_initialized():
            # Weights are equal in all processes; statistics, as in training, are those of process 0.
            statistics = {name for name, _ in module.named_buffers(remove_duplicate=False)}
            for name in self.average:
                if name in statistics:
                    dist.broadcast(self.average[name], 0)
        self._own = {name: held[name].clone() for name in self.average}
        _fill(module, self.average)


def _tensors(module: pl.LightningModule) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers by their names in a checkpoint; one that layers share has several."""
    yield from ((name, one.detach()) for name, one in module.named_parameters(remove_duplicate=False))
    yield from module.named_buffers(remove_duplicate=False)


@no_gradients()
def _fill(module: pl.LightningModule, values: dict[str, Tensor]) -> None:
    held = dict(_tensors(module)) if values else {}
    for name, value in values.items():
        held[name].copy_(value)


def _moving(module: pl.LightningModule, groups: tuple[str, ...]) -> Iterator[str]:
    """Yield the names of what a step in these groups changes: parameters, and statistics in training mode."""
    assert isinstance(module, Task)
    trained = {id(parameter) for group in groups for parameter in module.group_parameters(group)}
    yield from (name for name, one in module.named_parameters(remove_duplicate=False) if id(one) in trained)
    for place, part in module.named_modules(remove_duplicate=False):
        if isinstance(part, NormBase) and part.training:
            floating = (name for name, one in part.named_buffers(recurse=False) if one.is_floating_point())
            yield from (f"{place}.{name}" for name in floating)


def _precise(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 at least: half precision would round small shares of a step away."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
