"""What a training step does beside the network: draws, rates, figures, and no waiting for the device."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tlx
import tlx.procedures.stages
from tlx.callbacks import divergence
from tlx.callbacks.randomness import StepSeeds
from tlx.strategies.plan import plan_stages

# What .item(), float() and bool() of a tensor, boolean indexing and the like come down to: a GPU is waited for.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "bincount"}


class Waits(TorchDispatchMode):
    """Keeps the names of operations that would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name in WAITS or (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class StepsUnder(pl.Callback):
    """Enters a mode with each training step, and leaves it with its end: one callback before all others, one after."""

    def __init__(self, mode: Waits, begins: bool) -> None:
        self.mode, self.begins = mode, begins

    def on_train_batch_start(self, *_: Any) -> None:
        if self.begins:
            self.mode.__enter__()

    def on_train_batch_end(self, *_: Any) -> None:
        if not self.begins:
            self.mode.__exit__(None, None, None)


@pytest.mark.run
@pytest.mark.parametrize("strategy", ["full", "linear_probe"])
@pytest.mark.parametrize("more", [[], ["optimizer=sgd", "trainer.gradient_clip_val=1.0", "task.dropout=0.1"]])
def test_no_step_between_two_log_steps_waits_for_the_device(tmp_path, monkeypatch, strategy, more):
    """Guards against .item() in a step, the first of an epoch and the last one too: each one idles a GPU."""
    monkeypatch.setattr(divergence, "_on_cpu", lambda number: False)  # as on a GPU
    mode = Waits()
    build_callbacks = tlx.procedures.stages.build_callbacks

    def spied(*args: Any) -> list[pl.Callback]:
        return [StepsUnder(mode, True), *build_callbacks(*args), StepsUnder(mode, False)]

    monkeypatch.setattr(tlx.procedures.stages, "build_callbacks", spied)
    config = tlx.compose(
        [
            "backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.channels=1", "dataset.image_size=16",
            "dataset.batch_size=64", f"strategy={strategy}", "trainer.stage_epochs=2", "trainer.log_every_n_steps=1000",
            f"run_dir={tmp_path / 'run'}", *more,
        ]
    )  # fmt: skip
    tlx.train(config)
    assert mode.operations > 100
    assert mode.found == []


def drawn() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()


def test_what_a_step_draws_is_a_function_of_seed_epoch_batch_and_process():
    """Guards against steps that draw the same numbers, and against numbers that depend on what was drawn before."""

    def of(seed: int, epoch: int, batch: int, rank: int) -> tuple[float, float, float]:
        drawn()
        place = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        StepSeeds(seed).on_train_batch_start(place, SimpleNamespace(device=torch.device("cpu")), None, batch)
        return drawn()

    first = of(0, 0, 0, 0)
    assert of(0, 0, 0, 0) == first
    others = [of(*place) for place in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))]
    for i in range(3):
        assert len({numbers[i] for numbers in (first, *others)}) == 5


def test_seeding_a_step_leaves_no_notes_behind():
    """Guards against torch.manual_seed, which for accelerators never used appends to a list with every call."""
    place = SimpleNamespace(current_epoch=0, global_rank=0)
    queued = [torch.cuda._queued_calls, torch.xpu._queued_calls, torch.mtia._queued_calls]
    before = [len(calls) for calls in queued]
    for batch in range(5):
        StepSeeds(0).on_train_batch_start(place, SimpleNamespace(device=torch.device("cpu")), None, batch)
    assert [len(calls) for calls in queued] == before


def test_the_rates_of_a_step_are_those_of_each_group():
    """Guards against rates that are worked out together and differ from those of the plan, group by group."""
    strategy = {"stages": [{"name": "a", "train": "stage1+", "epochs": 1, "layer_decay": 0.5, "warmup": 0.2}]}
    (stage,) = plan_stages(strategy, {"lr": 0.1}, ["stem", "stage1", "stage2", "head"])
    for step in (0, 1, 7):
        rates = stage.rates(step, 10)
        assert rates == {group: stage.rate(group, step, 10) for group in ("stage1", "stage2", "head")}
        assert rates["stage1"] == pytest.approx(rates["head"] / 4)
    assert stage.rate("stem", 0, 10) == 0
