"""`trainer.patience` and `patience` of a stage, on made-up figures of epochs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tlx.callbacks.run_patience import RunPatience
from tlx.callbacks.stages import Stages
from tlx.strategies.plan import plan_stages


def ended(tmp_path, steps: int, patience: int, per_stage: int | None, losses: list[float]) -> int:
    """Return the number of epochs after which a run ends, of a stage of 5 epochs or 100 steps."""
    stage = {"name": "all", "train": "head", "epochs": 5, "min_steps": 100, "patience": per_stage}
    planned = plan_stages({"stages": [stage]}, {"lr": 1.0}, ["head"], steps=steps)
    stages = Stages(planned, "val/loss", "min", tmp_path)
    waiting = RunPatience(stages, "val/loss", "min", patience)
    trainer = SimpleNamespace(should_stop=False, global_step=0)
    for epoch in range(planned[0].epochs):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/loss": losses[min(epoch, len(losses) - 1)]}
        stages.on_train_epoch_end(trainer, None)
        waiting.on_train_epoch_end(trainer, None)
        restored = RunPatience(stages, "val/loss", "min", patience)
        restored.load_state_dict(waiting.state_dict())
        waiting = restored  # every epoch may be the first one after a kill
        if trainer.should_stop:
            return epoch + 1
    raise AssertionError("a stage stops its run when it ends")


@pytest.mark.parametrize(("per_stage", "patience"), [(None, 2), (2, 1000)])
@pytest.mark.parametrize(("steps", "epochs"), [(20, 4), (5, 10)])
def test_patience_lasts_as_many_steps_with_short_epochs(tmp_path, steps, epochs, per_stage, patience):
    """Guards against a run of a small set that ends after twice six steps without a better value."""
    assert ended(tmp_path, steps, patience, per_stage, [1.0, 0.5, 0.6]) == epochs


def test_a_better_value_ends_the_wait(tmp_path):
    """Guards against a wait that goes on, and against a stage that is cut short although it improves."""
    assert ended(tmp_path, 20, 2, None, [5.0, 6.0, 4.0, 5.0, 3.0]) == 5
