"""Stay near the weights that training began with."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from tlx.strategies.selectors import HEAD
from tlx.tasks.module import Task


class L2SP(pl.Callback):
    """L2-SP (Li et al. 2018): a penalty on the squared distance of the backbone's weights from where they started.

    Its gradient, strength times the difference, is added before each step, once those of the loss are unscaled. The
    starting weights are those of the source that the configuration names, so a run that goes on has the same ones.

    Args:
        strength: Alpha; the penalty is alpha / 2 times the squared distance.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._start: dict[str, Tensor] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keep the starting weights, before a checkpoint is loaded over them."""
        if stage == "fit":
            self._start = {name: p.detach().clone() for name, p in _backbone(pl_module)}

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Add the gradient of the penalty to the weights that train."""
        moved = [(name, p) for name, p in _backbone(pl_module) if p.grad is not None]
        if moved and self._start[moved[0][0]].device != moved[0][1].device:
            self._start = {name: p.to(moved[0][1].device) for name, p in self._start.items()}
        weights = [p.detach() for _, p in moved]
        starts = [self._start[name] for name, _ in moved]
        gradients: list[Tensor] = [p.grad for _, p in moved if p.grad is not None]
        if moved:
            torch._foreach_add_(gradients, torch._foreach_sub(weights, starts), alpha=self.strength)


def _backbone(module: pl.LightningModule) -> list[tuple[str, torch.nn.Parameter]]:
    assert isinstance(module, Task)
    return [
        (f"{group}.{i}", parameter)
        for group in module.group_names
        if group != HEAD
        for i, parameter in enumerate(module.group_parameters(group))
    ]
