"""Make the random numbers of a training step (dropout, stochastic depth) a function of seed, epoch, batch and rank."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from tlx.data.augmentation.randomness import mix


class StepSeeds(pl.Callback):
    """Seeds torch, numpy and random before each step, so that a resumed run draws the same random numbers.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the next step."""
        number = mix(self.seed, "step", trainer.current_epoch, batch_idx, trainer.global_rank)
        # torch.manual_seed seeds every kind of accelerator, and records each call for those that were never used.
        torch.default_generator.manual_seed(number)
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(number)
        elif pl_module.device.type != "cpu":
            torch.manual_seed(number)
        np.random.seed(number % 2**32)
        random.seed(number)
