"""Sums over the batch of all processes, so that a loss is that of one process with the whole batch."""

from __future__ import annotations

import pytorch_lightning as pl
import torch.distributed as dist
from torch import Tensor

from tlx.base.compat.lightning import trainer_of


def over_processes(sums: Tensor, module: pl.LightningModule) -> Tensor:
    """Return sums over the batches of all processes that train a module together; those of one process as they are.

    Every process must call it in every training step. DDP averages gradients over the processes, so that of the own
    part is multiplied by their number: the average is then the gradient of the whole batch.

    Args:
        sums: Sums over the batch of this process (N,).
        module: The module; outside of training, or without a Trainer, each process is alone.
    """
    trainer = trainer_of(module)
    if trainer is None or trainer.world_size == 1 or not module.training:
        return sums
    total = sums.detach().clone()
    dist.all_reduce(total)
    own = sums * trainer.world_size
    return total + (own - own.detach())
