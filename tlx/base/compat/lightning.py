"""Private names of Lightning."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy


def trainer_of(module: pl.LightningModule) -> pl.Trainer | None:
    """Return the trainer of a module; None if it has none, where `module.trainer` raises an error."""
    return module._trainer


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keep a trainer from handling signals, and from asking in every step whether another process received one."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def checkpoint_of(trainer: pl.Trainer) -> dict[str, Any]:
    """Return what `trainer.save_checkpoint(path, weights_only=True)` would write now; every process must call it.

    Its tensors are the network's own, which later steps change.
    """
    return trainer._checkpoint_connector.dump_checkpoint(weights_only=True)


def wrap_again(strategy: DDPStrategy, module: pl.LightningModule) -> None:
    """Wrap a module in a new DistributedDataParallel, which synchronises the parameters that now require gradients."""
    strategy.model = strategy._setup_model(module)
    strategy._register_ddp_hooks()


class UncheckedSlurm(SLURMEnvironment):
    """SLURM's variables, without warnings and errors about how `srun` was used."""

    _validate_srun_used = staticmethod(lambda: None)
    _validate_srun_variables = staticmethod(lambda: None)
