"""Stop a run when its loss becomes NaN or infinite; report the step and the learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from torch import Tensor

from tlx.base.errors import Diverged
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.stages import Stages
from tlx.tasks.module import Task

NEVER = torch.iinfo(torch.int64).max


class Divergence(pl.Callback):
    """Checks the loss of every step on its own device.

    Reading a number from a GPU waits for the GPU. The index of the first bad step therefore stays on the GPU and is
    read every `log_every_n_steps` steps and before each epoch's checkpoint, so that no checkpoint has bad weights.

    Args:
        stages: The callback that knows the stage and the rates.
    """

    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        self._first_bad: Tensor | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record whether this step's loss is finite."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):
            return
        if _on_cpu(loss):
            if not math.isfinite(loss):
                self._fail(trainer, pl_module, trainer.global_step - 1)
            return
        if self._first_bad is None:
            self._first_bad = torch.full((), NEVER, dtype=torch.int64, device=loss.device)
        bad = torch.where(loss.detach().isfinite(), NEVER, trainer.global_step - 1)
        self._first_bad = torch.minimum(self._first_bad, bad)
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before the epoch is saved."""
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._first_bad is not None and (step := int(self._first_bad)) != NEVER:
            self._fail(trainer, pl_module, step)

    def _fail(self, trainer: pl.Trainer, pl_module: pl.LightningModule, step: int) -> NoReturn:
        assert isinstance(pl_module, Task)
        stage = self.stages.running
        rates = {
            g: stage.rate(g, step - self.stages.first_step, self.stages.steps_of_stage(trainer)) for g in stage.trained
        }
        broken = [g for g in pl_module.group_names if _has_non_finite(pl_module, g)]
        last = self.stages.best_path.with_name("last.ckpt")
        kept = (
            f"the checkpoint of epoch {progress(last)['epochs'] - 1} is kept: {last}"
            if last.is_file()
            else "no epoch was completed"
        )
        raise Diverged(
            f"train/loss: expected a number, got NaN or infinity in step {step} (epoch {trainer.current_epoch}, "
            f"stage {stage.name}); rates: {', '.join(f'{g} {rate:.2g}' for g, rate in rates.items())}; "
            f"weights or gradients no longer finite in: {', '.join(broken) or 'none'}; {kept}",
            f"Try a lower rate (optimizer.lr={max(rates.values()) / 10:.2g}) or trainer.gradient_clip_val=1.0",
            early=not last.is_file(),
        )


def _on_cpu(number: Tensor) -> bool:
    """Return whether reading the number does not wait for a device."""
    return number.device.type == "cpu"


def _has_non_finite(task: Task, group: str) -> bool:
    for parameter in task.group_parameters(group):
        if not parameter.isfinite().all() or (parameter.grad is not None and not parameter.grad.isfinite().all()):
            return True
    return False
