"""Every key whose `auto` tlx settles, with what chooses its value. tlx/records/settled.py says which are kept."""

from __future__ import annotations

import sys
from typing import Any

import torch
from omegaconf import DictConfig

from tlx.data.batches.reading_processes import READING_PROCESSES
from tlx.records.settled import Resolver
from tlx.training.distributed import processes
from tlx.training.timing import Trial


def accelerator(config: DictConfig) -> str:
    """Return `gpu` where torch finds one, CUDA's or Apple's, otherwise `cpu`."""
    return "gpu" if torch.cuda.is_available() or torch.backends.mps.is_available() else "cpu"


def strategy(config: DictConfig) -> str:
    """Return `ddp` where several processes train, on one machine or on several, otherwise `single_device`."""
    return "ddp" if processes(config) * config.trainer.num_nodes > 1 else "single_device"


# What the machine decides, from the configuration alone.
MACHINE: tuple[Resolver[DictConfig], ...] = (
    Resolver("trainer.accelerator", accelerator),
    Resolver("trainer.devices", processes),
    Resolver("trainer.strategy", strategy),
    Resolver("trainer.progress_bar", lambda config: sys.stderr.isatty()),
)
# What is timed on images of the run, once.
COMPUTATION: tuple[Resolver[Trial], ...] = (
    Resolver("trainer.channels_last", lambda trial: trial.way.channels_last),
    Resolver("trainer.precision", lambda trial: trial.way.precision),
    Resolver("trainer.compile", lambda trial: trial.compiles()),
)
RESOLVERS: tuple[Resolver[Any], ...] = (*MACHINE, *COMPUTATION, READING_PROCESSES)
