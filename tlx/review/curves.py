"""Curves that Lightning does not draw by itself: the learning rate of each layer group, the stage, what trains."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from tlx.strategies.optimizers import layer_group


def learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    """Return `lr/NAME` of every layer group as the optimizer has it now."""
    return {f"lr/{layer_group(group)}": float(group["lr"]) for group in trainer.optimizers[0].param_groups}


class Curves(pl.Callback):
    """Logs one learning-rate curve a layer group, and the number of trainable parameters."""

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Log the rates with which this step is taken."""
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        trainable = sum(p.numel() for p in pl_module.parameters() if p.requires_grad)
        values = {**learning_rates(trainer), "trainable_parameters": float(trainable)}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
