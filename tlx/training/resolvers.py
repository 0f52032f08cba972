"""All keys whose `auto` tlx settles, with the functions that choose their values; see also tlx/records/settled.py."""

from __future__ import annotations

import sys
from typing import Any

import torch
from omegaconf import DictConfig

from tlx.data.batches.reading_processes import READING_PROCESSES
from tlx.records.settled import Resolver
from tlx.training.devices import processes
from tlx.training.length import length_within
from tlx.training.micro_batch import largest_that_fits
from tlx.training.timing import Timing


def accelerator(config: DictConfig) -> str:
    """Return `gpu` if torch finds one (CUDA or Apple), otherwise `cpu`."""
    return "gpu" if torch.cuda.is_available() or torch.backends.mps.is_available() else "cpu"


def strategy(config: DictConfig) -> str:
    """Return `ddp` if several processes train, on one machine or on several, otherwise `single_device`."""
    return "ddp" if processes(config) * config.trainer.num_nodes > 1 else "single_device"


# Chosen for the machine, from the configuration alone.
MACHINE: tuple[Resolver[DictConfig], ...] = (
    Resolver("trainer.accelerator", accelerator),
    Resolver("trainer.devices", processes),
    Resolver("trainer.strategy", strategy),
    Resolver("trainer.progress_bar", lambda config: sys.stdout.isatty()),
)
# Chosen by trials and timing, once, on images of the run; the first decides how many images the others take.
COMPUTATION: tuple[Resolver[Timing], ...] = (
    Resolver("dataset.micro_batch", largest_that_fits),
    Resolver("trainer.channels_last", lambda timing: timing.mode.channels_last),
    Resolver("trainer.precision", lambda timing: timing.mode.precision),
    Resolver("trainer.compile", lambda timing: timing.compiles()),
    Resolver("trainer.length", length_within),
)
RESOLVERS: tuple[Resolver[Any], ...] = (*MACHINE, *COMPUTATION, READING_PROCESSES)
