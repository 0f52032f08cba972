"""L2-SP: which weights are held, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from tests.callbacks.test_stages import loader, make_task
from tlx.callbacks.l2sp import L2SP
from tlx.callbacks.stages import Stages
from tlx.strategies.plan import plan_stages
from tlx.strategies.selectors import HEAD
from tlx.tasks import Classification


def test_the_gradient_is_the_distance_from_the_start_and_none_for_the_head():
    """Guards against an anchor that holds the head at its random start, holds nothing, or moves frozen groups."""
    task, anchor = make_task(), L2SP(0.5)
    anchor.setup(None, task, "fit")
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(0.1)
            parameter.grad = torch.ones_like(parameter)
    for parameter in task.group_parameters("stem"):
        parameter.grad = None
    anchor.on_before_optimizer_step(None, task, None)
    for group in task.group_names:
        for parameter in task.group_parameters(group):
            if group == "stem":
                assert parameter.grad is None
            else:
                expected = torch.full_like(parameter, 1.0 if group == HEAD else 1.05)
                torch.testing.assert_close(parameter.grad, expected)


def fitted(directory: Path, epochs: int, begin: Path | None = None) -> Classification:
    task = make_task("torch.optim.SGD")
    plan = plan_stages({"stages": [{"name": "all", "train": "all", "epochs": 2}]}, {"lr": 0.01}, task.group_names)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
        callbacks=[L2SP(5.0), Stages(plan, "val/loss", "min", directory)],
    )  # fmt: skip
    trainer.fit(task, loader(), loader(), ckpt_path=begin, weights_only=True)
    trainer.save_checkpoint(directory / f"{epochs}.ckpt")
    return task


@pytest.mark.slow
def test_a_run_that_goes_on_is_held_at_the_same_weights(tmp_path):
    """Guards against an anchor that is taken from the checkpoint of a run that was stopped."""
    whole = fitted(tmp_path, 2).state_dict()
    fitted(tmp_path, 1)
    resumed = fitted(tmp_path, 2, tmp_path / "1.ckpt").state_dict()
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())
