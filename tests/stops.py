"""Ask a training in this process to stop in a step, as SIGTERM does."""

from __future__ import annotations

import os
import signal

import pytest

from tlx.callbacks.curves import Curves


def stop_in_step(patch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process SIGTERM in an optimizer step, counted over the run from 0."""
    original = Curves.on_before_optimizer_step

    def stop(self, trainer, pl_module, optimizer):
        original(self, trainer, pl_module, optimizer)
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(Curves, "on_before_optimizer_step", stop)
