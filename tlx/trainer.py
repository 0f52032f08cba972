"""Build Lightning's Trainer from the trainer node."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from tlx import distributed
from tlx.config.building import build_node
from tlx.review.curves import Curves
from tlx.review.epochs import EpochTable
from tlx.run import Run
from tlx.strategies.stages import Stages


def build_trainer(config: DictConfig, stages: Stages, run: Run, judge: bool = False) -> pl.Trainer:
    """Return the Trainer of a composed configuration whose `auto` choices are settled (see tlx/trial.py).

    Args:
        config: The configuration.
        stages: The callback that runs the plan.
        run: Where checkpoints and tables go.
        judge: A Trainer that only validates and tests: no callbacks, no logger, whole weights on each device.
    """
    node = config.trainer
    limit = node.limit_batches if node.limit_batches is not None else 1.0
    count = distributed.processes(config)
    on_cpu = node.accelerator == "cpu" or (node.accelerator == "auto" and _no_gpu())
    devices: Any = OmegaConf.to_container(node)["devices"]  # type: ignore[call-overload, index]
    return pl.Trainer(
        accelerator="cpu" if on_cpu else node.accelerator,
        devices=count if on_cpu or devices in ("auto", -1) else devices,
        num_nodes=node.num_nodes,
        strategy=_strategy("auto" if judge else node.strategy, count * node.num_nodes),
        precision=node.precision,
        max_epochs=stages.total_epochs,
        accumulate_grad_batches=node.accumulate_grad_batches,
        gradient_clip_val=node.gradient_clip_val,
        sync_batchnorm=node.sync_batchnorm,
        limit_train_batches=limit,
        limit_val_batches=limit,
        limit_test_batches=limit,
        log_every_n_steps=node.log_every_n_steps,
        deterministic="warn" if node.deterministic else False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # tlx's own sampler gives the processes together what one would have had
        logger=False if judge else build_logger(config),
        callbacks=[] if judge else _callbacks(config, stages, run),
        enable_checkpointing=not judge,
        enable_progress_bar=not judge and _shows_progress(node.progress_bar),
        enable_model_summary=False,
        default_root_dir=str(run.directory),
    )


def build_logger(config: DictConfig) -> Logger | bool:
    """Return the logger that the logger node names; False for `logger=none`."""
    if config.logger.get("_target_") is None:
        return False
    logger: Logger = build_node(config.logger)
    return logger


def _callbacks(config: DictConfig, stages: Stages, run: Run) -> list[pl.Callback]:
    monitor, mode = config.task.monitor, config.task.mode
    kept: dict[str, Any] = {"dirpath": run.checkpoints, "enable_version_counter": False}
    callbacks: list[pl.Callback] = [
        stages,
        Curves(),
        EpochTable(run.directory / "metrics.csv", stages),
        ModelCheckpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True, **kept),
        ModelCheckpoint(filename="last", **kept),
    ]
    if config.trainer.patience is not None:
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=config.trainer.patience))
    if _shows_progress(config.trainer.progress_bar):
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    return callbacks


def _strategy(name: str, processes: int) -> Strategy | str:
    if name == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    if name == "ddp" or processes > 1:
        return DDPStrategy()
    return "auto"


def _shows_progress(choice: bool | str) -> bool:
    return sys.stderr.isatty() if choice == "auto" else bool(choice)


def _no_gpu() -> bool:
    import torch

    return not torch.cuda.is_available() and not torch.backends.mps.is_available()
