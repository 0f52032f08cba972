"""Agreement with labels of the target domain after each epoch; an honest selection of weights cannot use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from tlx.data.domains import HiddenLabels
from tlx.tasks.module import Task


class Oracle(pl.Callback):
    """Logs the agreement of predictions with labels, on the validation images of the target domain.

    No other part of training sees these labels. The figure, `oracle/accuracy` for classification, shows which weights a
    selection with labels would have taken (`oracle.ckpt`); it selects nothing.

    Args:
        hidden: The labels.
    """

    def __init__(self, hidden: HiddenLabels) -> None:
        self.hidden = hidden
        self._right: Tensor | None = None
        self._known: Tensor | None = None

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the sums."""
        self.hidden = self.hidden.to(pl_module.device)
        self._right, self._known = (torch.zeros((), device=pl_module.device) for _ in range(2))

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
        assert isinstance(pl_module, Task)
        labels, known = self.hidden.take(batch["index"])
        self._known += known.sum()
        self._right += (pl_module.agreement(outputs, labels) * known).sum()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the mean agreement."""
        assert isinstance(pl_module, Task)
        assert pl_module.kind.oracle is not None
        assert self._right is not None
        assert self._known is not None
        right, known = trainer.strategy.reduce(torch.stack([self._right, self._known]), reduce_op="sum")
        pl_module.log(pl_module.kind.oracle, right / known)
