"""How many processes a configuration trains in. Imports no Lightning, so a plan can ask."""

from __future__ import annotations

import importlib.util

import torch
from omegaconf import DictConfig, ListConfig

from tlx.base.errors import TlxError
from tlx.records.settled import AUTO
from tlx.strategies.folds import is_kfold


def processes(config: DictConfig) -> int:
    """Return the number of processes on this machine, one per device of the configuration.

    Raises:
        TlxError: The accelerator or the devices are not available.
    """
    devices, accelerator = config.trainer.devices, config.trainer.accelerator
    available = torch.cuda.device_count() if accelerator in (AUTO, "gpu", "cuda") else 0
    if accelerator in ("gpu", "cuda") and available == 0:
        raise TlxError("trainer.accelerator: expected a GPU that torch can use, got none; use trainer.accelerator=cpu")
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise TlxError("trainer.accelerator: expected an available one, got mps, which is Apple's; type auto or cpu")
    if accelerator == "tpu" and importlib.util.find_spec("torch_xla") is None:
        raise TlxError("trainer.accelerator: expected an available one, got tpu without torch_xla; type auto or cpu")
    if isinstance(devices, ListConfig | list):
        if available and (missing := [d for d in devices if not 0 <= int(d) < available]):
            got = ", ".join(map(str, missing))
            raise TlxError(f"trainer.devices: expected GPUs from 0 to {available - 1}, got {got}")
        wanted = len(devices)
    elif devices in (AUTO, -1):
        wanted = 1 if devices == AUTO and is_kfold(config) else max(available, 1)
    else:
        wanted = int(devices)
    if wanted < 1:
        raise TlxError(f"trainer.devices: expected at least 1, -1, auto or a list of GPU indices, got {devices}")
    if available and wanted > available:
        raise TlxError(f"trainer.devices: expected at most {available}, the GPUs of this machine, got {devices}")
    return wanted
