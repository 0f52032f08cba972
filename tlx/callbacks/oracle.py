"""Accuracy on labels of the target domain after each epoch; an honest selection of weights cannot use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from tlx.callbacks.checkpoints import ORACLE


class Oracle(pl.Callback):
    """Logs `oracle/accuracy`, the accuracy on the validation images of the target domain.

    No other part of training sees these labels. The figure shows which weights a selection with labels would have
    taken (`oracle.ckpt`); it selects nothing.

    Args:
        targets: Classes of the images (N,); -1 if the class is not known.
    """

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets
        self._right: Tensor | None = None
        self._known: Tensor | None = None

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the counts."""
        self._right, self._known = (torch.zeros((), device=pl_module.device) for _ in range(2))
        self.targets = self.targets.to(pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compare predictions with the labels."""
        if dataloader_idx == 0 or not isinstance(outputs, Mapping) or self._right is None or self._known is None:
            return
        index = outputs["index"]
        target = self.targets[index.clamp(min=0)].masked_fill(index < 0, -1)
        self._known += (target >= 0).sum()
        self._right += ((outputs["predicted"] == target) & (target >= 0)).sum()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the accuracy."""
        assert self._right is not None
        assert self._known is not None
        right, known = trainer.strategy.reduce(torch.stack([self._right, self._known]), reduce_op="sum")
        pl_module.log(ORACLE, right / known)
