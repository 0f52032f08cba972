"""Penalise the distance from the initial weights."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from tlx.base.compat.torch import pull_towards
from tlx.tasks.module import Task


class L2SP(pl.Callback):
    """L2-SP (Li et al. 2018): a penalty on the squared distance of the backbone's weights from their initial values.

    Its gradient, strength times the difference, is added before each step, after the gradients of the loss were
    unscaled. The initial weights come from the source named in the configuration, so a resumed run has the same ones.

    Args:
        strength: Alpha; the penalty is alpha / 2 times the squared distance.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._start: dict[str, Tensor] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Copy the initial weights before a checkpoint overwrites them."""
        if stage == "fit":
            self._start = {name: p.detach().clone() for name, p in _backbone(pl_module)}

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Add the gradient of the penalty to those of the trained weights."""
        moved = [(name, p) for name, p in _backbone(pl_module) if p.grad is not None]
        if moved and self._start[moved[0][0]].device != moved[0][1].device:
            self._start = {name: p.to(moved[0][1].device) for name, p in self._start.items()}
        weights = [p.detach() for _, p in moved]
        starts = [self._start[name] for name, _ in moved]
        gradients: list[Tensor] = [p.grad for _, p in moved if p.grad is not None]
        if moved:
            pull_towards(gradients, weights, starts, self.strength)


def _backbone(module: pl.LightningModule) -> list[tuple[str, torch.nn.Parameter]]:
    assert isinstance(module, Task)
    return [
        (f"{group}.{i}", parameter)
        for group in module.backbone.group_names
        for i, parameter in enumerate(module.group_parameters(group))
    ]
