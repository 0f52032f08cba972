"""The precision of steps that run outside the Trainer: those that are timed, tried or computed once."""

from __future__ import annotations

import torch

_HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network has a precision of `trainer.precision`; a full one changes nothing."""
    return torch.autocast(device.type, _HALF.get(precision, torch.bfloat16), enabled=precision in _HALF)
