"""Averages of weights on real training steps: what is averaged, who sees it, what goes on from where."""

from __future__ import annotations

import contextlib

import pytest
import pytorch_lightning as pl
import torch

from tests.callbacks.test_stages import changed, loader, make_task, statistics_moved
from tlx.base.interruption import Interruption
from tlx.callbacks.averaging import Averaging
from tlx.callbacks.checkpoint_reading import read_checkpoint, read_weights
from tlx.callbacks.checkpoints import Checkpoints
from tlx.callbacks.stages import Stages
from tlx.strategies.averaging import share_of_step
from tlx.strategies.plan import plan_stages

TWO = [{"name": "head", "train": "head", "epochs": 2}, {"name": "top", "train": "stage3+", "epochs": 2}]  # 3 steps each


class Looks(pl.Callback):
    """Keeps the weights after every step, at the start of epochs and in validation; stops a training where asked."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps, self.starts, self.validated, self.stop_after = [], [], [], stop_after

    def on_train_epoch_start(self, trainer, pl_module):
        self.starts.append(weights(pl_module))

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        self.steps.append(weights(pl_module))

    def on_validation_epoch_start(self, trainer, pl_module):
        self.validated.append(weights(pl_module))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.stop_after:
            raise KeyboardInterrupt


def weights(task):
    return {name: value.clone() for name, value in task.state_dict().items()}


def fit(directory, stages, average, looks=None, resume=False, keeps_last=False, **trainer):
    directory.mkdir(exist_ok=True)
    task = make_task()
    plan = plan_stages({"stages": stages}, task.optimizer_node, task.group_names)
    callback = Stages(plan, "val/loss", "min", directory)
    callback.keeps_last = keeps_last
    looks = looks or Looks()
    runner = pl.Trainer(
        max_epochs=callback.total_epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[callback, *([Averaging(callback, average)] if average else []), looks,
                   Checkpoints(directory, callback, "val/loss", "min", Interruption())], **trainer,
    )  # fmt: skip
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        runner.fit(task, loader(), loader(), ckpt_path=directory / "last.ckpt" if resume else None, weights_only=True)
    return task, looks


def mean(snapshots, name):
    return torch.stack([one[name] for one in snapshots]).mean(0)


@pytest.mark.parametrize(("average", "steps"), [(0.1, 7), (0.5, 9), (0.5, 1), ("ema", 500), ("ema", 3), ("ema", 1)])
def test_the_shares_of_all_steps_are_those_of_the_formula(average, steps):
    """Guards against a mean that weighs some steps twice, and against a moving average of weights before the stage."""
    left, shares = 1.0, []
    for done in range(steps, 0, -1):
        share = share_of_step(average, done, steps) or 0.0
        shares.append(left * share)
        left *= 1 - share
    assert left == pytest.approx(0.0, abs=1e-12)  # of what was there before the first averaged step
    counted = [share for share in shares if share]
    assert sum(counted) == pytest.approx(1.0)
    if average == "ema":
        assert counted == sorted(counted, reverse=True)  # the later a step, the more it counts
    else:
        assert counted == pytest.approx([1 / len(counted)] * len(counted))
        assert len(counted) == max(1, -(-steps * average // 1))


def test_each_stage_validates_keeps_and_hands_on_the_mean_of_its_last_steps(tmp_path):
    """Guards against an average over two stages, against steps from the average within a stage, and against best
    weights, or a next stage, that are not those that were validated."""
    task, looks = fit(tmp_path, TWO, 0.5, keeps_last=True)
    assert len(looks.steps) == 12
    for stage, (first, last) in enumerate([(0, 6), (6, 12)]):
        own = looks.steps[first:last]
        name = "head.1.weight" if "head.1.weight" in own[0] else next(n for n in own[0] if n.startswith("head"))
        raw, averaged = looks.validated[2 * stage : 2 * stage + 2]
        assert torch.equal(raw[name], own[2][name])  # before the last half, the weights themselves
        assert torch.allclose(averaged[name], mean(own[3:], name))
        assert torch.equal(looks.starts[2 * stage + 1][name], own[2][name])  # goes on from its own weights
    assert all(torch.equal(looks.validated[1][n], value) for n, value in looks.starts[2].items())
    kept = read_weights(tmp_path / "best.ckpt")
    for other in (looks.validated[-1], read_weights(tmp_path / "last.ckpt"), weights(task)):
        assert all(torch.equal(kept[n], other[n]) for n in kept)
    assert read_checkpoint(tmp_path / "last.ckpt")["callbacks"]["Averaging"] == {"average": {}}  # nothing is left of it


def test_steps_do_not_see_the_average(tmp_path):
    """Guards against an average that leaks into training: without the last stage's end, all steps are the same."""
    single = [{"name": "all", "train": "all", "epochs": 3}]
    (_, with_it), (_, without) = fit(tmp_path / "a", single, 0.5), fit(tmp_path / "b", single, None)
    for one, other in zip(with_it.steps, without.steps, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(with_it.validated[-1][n], v) for n, v in without.validated[-1].items())


@pytest.mark.parametrize(("policy", "moves"), [("frozen", set()), ("train", {"stage3"}), ("adapt", {"stem", "stage3"})])
def test_frozen_groups_stay_and_statistics_follow_their_policy(tmp_path, policy, moves):
    """Guards against an average of frozen groups, and against statistics of other weights than the averaged ones."""
    single = [{"name": "s", "train": "stage3+", "epochs": 2, "batch_norm": policy}]
    task, looks = fit(tmp_path, single, 0.5)
    before, after = looks.starts[0], weights(task)
    for group in ("stem", "stage3"):
        assert any(changed(before, after, task, group)) == (group == "stage3")
        assert set(statistics_moved(before, after, group)) == {group in moves}
        for name in (n for n in after if "running_" in n and n.startswith(f"backbone.groups.{group}.")):
            assert torch.allclose(after[name], mean(looks.steps[3:], name)), name


@pytest.mark.parametrize(("average", "epochs"), [(0.5, 2), pytest.param("ema", 4, marks=pytest.mark.nightly)])
def test_a_run_that_stops_anywhere_ends_with_the_same_weights(tmp_path, average, epochs):
    """Guards against an average that begins anew, and against a resumed run that trains on from the average."""
    stages = [{**stage, "epochs": epochs} for stage in TWO]
    task, whole = fit(tmp_path / "whole", stages, average)
    for epoch in (epochs - 1, epochs):
        directory = tmp_path / str(epoch)
        fit(directory, stages, average, Looks(3 * epoch))
        resumed, looks = fit(directory, stages, average, resume=True)
        assert len(looks.steps) == 3 * (2 * epochs - epoch)
        assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(task).items())
        for one, other in zip(reversed(looks.validated), reversed(whole.validated), strict=False):
            assert all(torch.equal(one[name], other[name]) for name in one)
        for name in ("best.ckpt", "last.ckpt"):
            kept, expected = (read_weights(place / name) for place in (directory, tmp_path / "whole"))
            assert all(torch.equal(kept[n], expected[n]) for n in expected)


def test_accumulated_batches_are_one_step(tmp_path):
    """Guards against weights that count once for each batch of a step."""
    single = [{"name": "all", "train": "all", "epochs": 2}]
    task, looks = fit(tmp_path, single, 0.5, accumulate_grad_batches=3)
    assert all(torch.equal(value, weights(task)[n]) for n, value in looks.steps[-1].items())  # the second of two steps


def test_half_precision_keeps_small_shares(tmp_path):
    """Guards against an average in bfloat16, which rounds a share of 1/500 away."""
    single = [{"name": "all", "train": "all", "epochs": 2}]
    task, looks = fit(tmp_path, single, 0.5, precision="bf16-true")
    name = next(n for n in weights(task) if n.startswith("head"))
    exact = torch.stack([one[name].float() for one in looks.steps[3:]]).mean(0)
    assert torch.equal(weights(task)[name], exact.to(torch.bfloat16))
