from __future__ import annotations

import logging

import pytest
import torch

import tlx
from tlx.records.settled import settle
from tlx.training import timing
from tlx.training.experiment import build
from tlx.training.resolvers import COMPUTATION

SMALL = ["backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.channels=1", "dataset.image_size=16"]


@pytest.mark.parametrize(
    ("eager", "compiled", "seconds", "steps", "pays"),
    [
        (100.0, 60.0, 30.0, 1000, True),  # 40 s saved
        (100.0, 60.0, 30.0, 700, False),  # 28 s saved
        (100.0, 60.0, 30.0, 750, False),  # as much as it takes
        (100.0, 120.0, 0.0, 10**6, False),  # slower
        (100.0, 60.0, 30.0, 0, False),
    ],
)
def test_compiling_pays_in_so_many_steps(eager, compiled, seconds, steps, pays):
    """Guards against milliseconds taken for seconds, and against minutes of compiling for a run of seconds."""
    assert timing.compile_pays(eager, compiled, seconds, steps) is pays


def settled(monkeypatch, overrides, **times):
    """Settle `trainer.compile=auto` with these seconds in place of measured ones."""
    asked = []

    def measure(*arguments, compiled=False):
        asked.append(compiled)
        if compiled and times.get("error"):
            raise times["error"]
        return (times["compiled"], times["first"]) if compiled else (times["eager"], 0.0)

    monkeypatch.setattr(timing, "_measure", measure)
    config = tlx.compose([*SMALL, "trainer.compile=auto", *overrides])
    data, task = build(config)
    return settle(config, COMPUTATION, timing.TrainingSteps(config, data, task)).trainer.compile, asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "times", "choice", "tried"),
    [
        # 34 steps an epoch; each of two stages is compiled, and evaluation
        (["strategy=full", "strategy.stages.0.epochs=50"], {"eager": 0.1, "compiled": 0.04, "first": 20}, True, True),
        (["strategy=full", "strategy.stages.0.epochs=10"], {"eager": 0.1, "compiled": 0.04, "first": 20}, False, True),
        (["strategy=full", "trainer.stage_epochs=1"], {"eager": 0.1, "compiled": 0.04, "first": 20}, False, False),
        (["strategy=linear_probe"], {"eager": 9.0, "compiled": 0.04, "first": 20}, False, False),
        (["strategy=full"], {"eager": 9.0, "error": RuntimeError("no compiler\nat all")}, False, True),
    ],
)
def test_compile_auto_is_settled_by_the_planned_steps(monkeypatch, caplog, overrides, times, choice, tried):
    """Guards against compiling for heads on cached features, for runs that are too short, and without a compiler."""
    caplog.set_level(logging.INFO, "tlx")
    got, asked = settled(monkeypatch, overrides, **times)
    assert got is choice
    assert asked == [False] + [True] * tried
    assert "torch.compile" in caplog.text
    if "error" in times:
        assert "RuntimeError: no compiler" in caplog.text


@pytest.mark.slow
def test_a_trial_leaves_the_network_as_it_was():
    """Guards against measured steps that move weights, BatchNorm statistics or gradients of the network that trains."""
    config = tlx.compose([*SMALL, "strategy=full", "trainer.precision=auto", "trainer.channels_last=auto"])
    data, task = build(config)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    found = settle(config, COMPUTATION, timing.TrainingSteps(config, data, task))
    assert found.trainer.precision in ("32-true", "bf16-mixed")
    assert found.trainer.channels_last in (True, False)
    assert found.trainer.compile is False
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert all(parameter.grad is None for parameter in task.parameters())


def test_a_step_on_a_gpu_is_always_timed(monkeypatch):
    """Guards against reading processes chosen without the time of a step, for which a GPU then waits."""
    config = tlx.compose([*SMALL, "strategy=full", "trainer.precision=bf16-mixed", "trainer.channels_last=true"])
    data, task = build(config)
    asked = []

    def measure(network, batch, stage, channels_last, precision, device):
        asked.append((len(batch["image"]), stage.name, channels_last, precision, device.type))
        return 0.035, 1.0

    monkeypatch.setattr(timing, "_measure", measure)
    monkeypatch.setattr(timing, "on_device", lambda batch, device: batch)
    timing.TrainingSteps(config, data, task).time_step()
    assert data.step_seconds is None  # on a CPU it takes as long as a few steps
    monkeypatch.setattr(timing, "device_of_steps", lambda config: torch.device("cuda"))
    timing.TrainingSteps(config, data, task).time_step()
    timing.TrainingSteps(config, data, task).time_step()
    assert data.step_seconds == 0.035
    assert asked == [(data.batch_size(), "full", True, "bf16-mixed", "cuda")]
