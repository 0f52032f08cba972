"""Build Lightning's Trainer from the trainer node."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy, Strategy

from tlx.base.compat.lightning import leave_signals_alone
from tlx.base.errors import TlxError
from tlx.base.interruption import Interruption
from tlx.callbacks.averaging import Averaging
from tlx.callbacks.checkpoints import Checkpoints, PlainIO
from tlx.callbacks.curves import Curves
from tlx.callbacks.divergence import Divergence
from tlx.callbacks.epoch_table import EpochTable
from tlx.callbacks.frozen_prefix import FrozenPrefix
from tlx.callbacks.l2sp import L2SP
from tlx.callbacks.movement import Movement
from tlx.callbacks.oracle import Oracle
from tlx.callbacks.pruning import pruning_callbacks
from tlx.callbacks.randomness import StepSeeds
from tlx.callbacks.run_patience import RunPatience
from tlx.callbacks.stages import Stages
from tlx.callbacks.time_limit import TimeLimit
from tlx.callbacks.training_rows import TrainingRows
from tlx.callbacks.whole_images import WholeImages
from tlx.data.datamodule import ImageDataModule
from tlx.data.domains import TargetDomain
from tlx.features.prefix_cache import PrefixCache
from tlx.records.directory import RunDirectory
from tlx.records.settled import settle
from tlx.strategies.monitor import monitored
from tlx.tasks.catalog import kind_of
from tlx.training import distributed
from tlx.training.devices import processes
from tlx.training.resolvers import MACHINE, accelerator, strategy

log = logging.getLogger("tlx")


def build_trainer(
    config: DictConfig,
    callbacks: list[pl.Callback],
    loggers: Sequence[Logger],
    epochs: int,
    eval_only: bool = False,
    data: ImageDataModule | None = None,
) -> pl.Trainer:
    """Return the Trainer of a composed configuration whose stored `auto` values are settled (tlx/records/settled.py).

    Args:
        config: The configuration.
        callbacks: Result of `build_callbacks`.
        loggers: Result of `open_loggers`; none: nothing is logged.
        epochs: Maximum number of epochs of the run.
        eval_only: Build a Trainer that only validates and tests: no checkpoints, no sharding.
        data: The images, which know into how many micro batches a batch is divided; None: batches are whole.
    """
    node = settle(config, MACHINE, config).trainer
    count = processes(config)
    world = count * node.num_nodes
    parts = 1 if eval_only or data is None else data.micro_batches(world)
    limit: int | None = node.limit_batches  # of whole batches
    evaluated = 1.0 if limit is None else limit * (1 if data is None else data.evaluated_parts(world))
    on_cpu = node.accelerator == "cpu"
    if accelerator(config) == "cpu":
        # Lightning sets it for CUDA in forked processes; it makes torch's Adam look for a driver in each step.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    devices = [int(one) for one in node.devices] if isinstance(node.devices, ListConfig) else int(node.devices)
    trainer = pl.Trainer(
        accelerator=node.accelerator,
        devices=count if on_cpu or devices == -1 else devices,
        num_nodes=node.num_nodes,
        strategy=_strategy(strategy(config) if eval_only else node.strategy, count * node.num_nodes),
        precision=node.precision,
        max_epochs=epochs,
        accumulate_grad_batches=node.accumulate_grad_batches * parts,
        gradient_clip_val=node.gradient_clip_val,
        sync_batchnorm=node.sync_batchnorm,
        limit_train_batches=1.0 if limit is None else limit * parts,
        limit_val_batches=evaluated,
        limit_test_batches=evaluated,
        log_every_n_steps=node.log_every_n_steps,
        deterministic=_deterministic(bool(node.deterministic)),
        num_sanity_val_steps=0,
        inference_mode=False,  # training uses tensors from validation later (tlx/base/gradients.py)
        use_distributed_sampler=False,  # tlx's own sampler divides the batches of one process
        logger=list(loggers) or False,
        callbacks=callbacks,
        plugins=[
            *distributed.cluster(),
            *([] if eval_only or node.strategy == "fsdp" else [PlainIO()]),
        ],  # FSDP does not accept an IO plugin
        enable_checkpointing=not eval_only,
        enable_progress_bar=False,  # tlx/callbacks/training_rows.py draws one
        enable_model_summary=False,
        default_root_dir=str(config.run_dir),
        profiler=_Unprofiled(),
    )
    # tlx handles signals itself (tlx/base/interruption.py); Lightning's handlers would raise other errors. So Lightning
    # has no signal to broadcast to the other processes, for which it would wait on the device each step.
    leave_signals_alone(trainer)
    return trainer


def _deterministic(wanted: bool) -> Literal["warn"] | bool | None:
    """Return Lightning's argument: None, not False, leaves torch's setting alone, which imports torch's compiler."""
    if wanted:
        return "warn"
    return False if torch.are_deterministic_algorithms_enabled() else None


def build_cache(config: DictConfig, data: ImageDataModule, interruption: Interruption) -> PrefixCache | None:
    """Return the cache for outputs of frozen layer groups, or None if stages must compute from images."""
    whole = config.trainer.limit_batches is None  # a few batches are computed faster than all images
    if not config.cache.enabled or not whole or config.trainer.strategy == "fsdp":
        return None
    owner = os.path.abspath(os.path.expanduser(config.run_dir))
    try:
        return PrefixCache(config.cache, data, owner, interruption)
    except TlxError as error:
        if config.cache.dir is not None:
            raise
        log.warning("%s; stages train without a cache", error)
        return None


def build_callbacks(
    config: DictConfig,
    stages: Stages,
    checkpoints: Checkpoints,
    run: RunDirectory,
    cache: PrefixCache | None,
    domain: TargetDomain | None = None,
    whole: WholeImages | None = None,
) -> list[pl.Callback]:
    """Return the callbacks of training. Lightning calls Checkpoints after the others."""
    average, patience = config.trainer.get("average_weights"), config.trainer.patience
    waiting = [] if patience is None else [RunPatience(stages, *monitored(config), patience)]
    averaging = [] if average is None else [Averaging(stages, average)]
    minutes = config.trainer.get("max_minutes")
    limit = [] if minutes is None else [TimeLimit(stages, checkpoints, minutes)]
    table = EpochTable(run.directory / "metrics.csv", stages)
    checkpoints.before_writing.append(table.sync)
    callbacks: list[pl.Callback] = [
        TrainingRows(stages, checkpoints, bool(settle(config, MACHINE, config).trainer.progress_bar), bool(limit)),
        stages,
        *waiting,
        *averaging,
        *limit,
        FrozenPrefix(stages, cache, config.cache.views),
        StepSeeds(config.seed),
        Divergence(stages),
        Curves(stages),
        Movement(stages),
        table,
        *pruning_callbacks(monitored(config).name, stages),
        checkpoints,
    ]
    hidden = None if domain is None or kind_of(config.task).oracle is None else domain.hidden_labels
    if hidden is not None:
        callbacks.insert(0, Oracle(hidden))  # its metric must exist before the epoch is saved
    if config.optimizer.get("keep_source"):
        callbacks.insert(0, L2SP(float(config.optimizer.keep_source)))
    if whole is not None:
        callbacks.insert(0, whole)
    return callbacks


class _Unprofiled(PassThroughProfiler):
    """Lightning enters `profile` dozens of times per step; its default creates a generator each time."""

    def profile(self, action_name: str) -> Any:
        """Return a context that measures nothing."""
        return _NOTHING


_NOTHING = nullcontext()


def _strategy(name: str, processes: int) -> Strategy | str:
    if name == "fsdp":
        from tlx.training.sharding import Sharded  # whose import takes a second

        return Sharded(processes)
    if name == "ddp" or processes > 1:
        return DDPStrategy()
    return "auto"
