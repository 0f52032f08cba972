"""A run that averages weights, stopped by signals within epochs and at their ends, ends with the very same weights."""

from __future__ import annotations

import os
import signal

import pytest
import torch

import tlx
from tests.resume.test_kills import differences
from tlx.base.errors import Interrupted
from tlx.callbacks.randomness import StepSeeds

SETTING = [
    "dataset.augment=light", "task.dropout=0.3", "dataset.num_workers=0", "strategy=lp_ft", "trainer.stage_epochs=4",
    "strategy.stages.1.start_from=best", "trainer.keep=best",
]  # fmt: skip
STOPS = (3, 13, 27, 28, 37, 52)  # of 56 steps, 7 an epoch


@pytest.mark.nightly
@pytest.mark.parametrize("average", ["ema", "0.4"])
def test_stops_within_epochs_leave_the_average_as_it_is(uneven, tmp_path, monkeypatch, average):
    """Guards against an average that begins anew, or that training goes on from, after a stop in the middle."""

    def train(name: str):
        config = tlx.compose([*uneven, *SETTING, f"trainer.average_weights={average}", f"run_dir={tmp_path / name}"])
        for stop in range(len(STOPS) + 1):
            try:
                return tlx.train(config), stop
            except Interrupted:
                pass
        raise AssertionError("stopped again where it was stopped before")

    whole, _ = train("whole")
    left, seeded = set(STOPS), StepSeeds.on_train_batch_start

    def stopped(self, trainer, *arguments):
        seeded(self, trainer, *arguments)
        if trainer.global_step in left:
            left.remove(trainer.global_step)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(StepSeeds, "on_train_batch_start", stopped)
    run, stops = train("stopped")
    assert stops == len(STOPS)
    for name in ("best.ckpt", "last.ckpt"):
        held = [torch.load(one.checkpoints / name, weights_only=True)["state_dict"] for one in (whole, run)]
        assert list(differences(*held)) == [], name
    assert (whole.directory / "metrics.csv").read_text() == (run.directory / "metrics.csv").read_text()
