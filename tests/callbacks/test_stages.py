"""The stage callback on real training steps: what moves, what stays, at which rates."""

from __future__ import annotations

import itertools
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tlx.backbones import small_cnn
from tlx.base.errors import Diverged
from tlx.base.interruption import Interruption
from tlx.callbacks import divergence
from tlx.callbacks.checkpoints import Checkpoints
from tlx.callbacks.stages import Stages
from tlx.strategies.parameter_groups import layer_group
from tlx.strategies.plan import plan_stages
from tlx.strategies.selectors import HEAD
from tlx.tasks import Classification
from tlx.tasks.learner import Learning
from tlx.training.optimizers import build_optimizer

IMAGES = 24


def make_task(target="torch.optim.AdamW", **optimizer):
    torch.manual_seed(0)
    node = {"_target_": target, "lr": 0.05, "weight_decay": 0.1, **optimizer}
    learning = Learning(make_optimizer=partial(build_optimizer, node))
    task = Classification(small_cnn(width=4), ["a", "b", "c"], learning=learning)
    task.optimizer_node = node
    return task


def loader():
    generator = torch.Generator().manual_seed(1)
    items = [
        {
            "image": torch.randint(0, 256, (3, 32, 32), generator=generator, dtype=torch.uint8),
            "target": torch.tensor(i % 3),
            "index": torch.tensor(i),
        }
        for i in range(IMAGES)
    ]
    return DataLoader(items, batch_size=8)


class Spy(pl.Callback):
    """Keeps copies of all weights and buffers at the start of every epoch and stage, and the rates of every step."""

    def __init__(self, stages):
        self.stages, self.starts, self.snapshots, self.rates, self.modes = stages, [], [], [], []

    def on_train_epoch_start(self, trainer, pl_module):
        self.starts.append({k: v.clone() for k, v in pl_module.state_dict().items()})
        if trainer.current_epoch == self.stages.first_epoch:
            self.snapshots.append(self.starts[-1])

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        rates = {layer_group(g): g["lr"] for g in optimizer.param_groups}
        self.rates.append((self.stages.index, trainer.global_step - self.stages.first_step, rates))
        self.modes.append(
            {n: [m.training for g in pl_module.group_modules(n) for m in g.modules()] for n in pl_module.group_names}
        )

    def on_fit_end(self, trainer, pl_module):
        self.snapshots.append({k: v.clone() for k, v in pl_module.state_dict().items()})


def train(tmp_path, stages, task=None, **trainer):
    task = task or make_task()
    plan = plan_stages({"stages": stages}, task.optimizer_node, task.group_names)
    callback = Stages(plan, "val/accuracy", "max", tmp_path)
    spy = Spy(callback)
    checkpoints = Checkpoints(tmp_path, callback, "val/accuracy", "max", Interruption())
    runner = pl.Trainer(
        max_epochs=callback.total_epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[callback, spy, checkpoints], **trainer,
    )  # fmt: skip
    runner.fit(task, loader(), loader())
    return task, plan, spy


def changed(before, after, task, group):
    names = {id(p): n for n, p in task.named_parameters()}
    keys = [names[id(p)] for p in task.group_parameters(group)]
    return [not torch.equal(before[k], after[k]) for k in keys]


def statistics_moved(before, after, group):
    keys = [k for k in before if "running_" in k and k.startswith(f"backbone.groups.{group}.")]
    assert keys, f"{group} has no BatchNorm to look at"
    return [not torch.equal(before[k], after[k]) for k in keys]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["torch.optim.AdamW", "torch.optim.SGD"])
def test_frozen_groups_stay_and_trained_ones_move_through_freezing_and_refreezing(tmp_path, target):
    """Guards against weights or BatchNorm statistics of frozen groups that drift (momentum and weight decay of an
    earlier stage included), and against trained groups that do not learn."""
    stages = [
        {"name": "head", "train": "head", "epochs": 1},
        {"name": "all", "train": "all", "epochs": 1},
        {"name": "bottom", "train": "stem", "epochs": 1},
        {"name": "two", "train": ["stage1", "head"], "epochs": 2},
    ]
    extra = {"momentum": 0.9} if target.endswith("SGD") else {}
    task, plan, spy = train(tmp_path, stages, make_task(target, **extra))
    assert len(spy.snapshots) == 5
    for stage, (before, after) in zip(plan, itertools.pairwise(spy.snapshots), strict=True):
        for group in task.group_names:
            moved = changed(before, after, task, group)
            assert all(moved) if group in stage.trained else not any(moved), (stage.name, group)
            if group != HEAD:
                moved = statistics_moved(before, after, group)
                assert all(moved) if group in stage.trained else not any(moved), (stage.name, group)


@pytest.mark.parametrize(
    ("policy", "trained", "frozen"), [("train", True, False), ("frozen", False, False), ("adapt", True, True)]
)
def test_batch_norm_policies(tmp_path, policy, trained, frozen):
    """Guards against a policy that does not do what its name says, to trained and to frozen groups."""
    task, _, spy = train(tmp_path, [{"name": "s", "train": "stage3+", "epochs": 1, "batch_norm": policy}])
    before, after = spy.snapshots
    assert set(statistics_moved(before, after, "stage3")) == {trained}
    assert set(statistics_moved(before, after, "stem")) == {frozen}
    assert not any(changed(before, after, task, "stem"))


def test_frozen_groups_are_in_eval_mode_at_every_step(tmp_path):
    """Guards against Lightning's train() after validation, which would switch dropout of frozen groups on."""
    stages = [{"name": "a", "train": "head", "epochs": 2}, {"name": "b", "train": "stage3+", "epochs": 2}]
    _, _, spy = train(tmp_path, stages)
    assert len(spy.modes) == 12
    for (stage, _, _), modes in zip(spy.rates, spy.modes, strict=True):
        trained = {"head"} if stage == 0 else {"head", "stage3"}
        for group, training in modes.items():
            assert all(training) if group in trained else not any(training), (stage, group)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_rate_of_every_group_at_every_step_is_the_planned_one(tmp_path, schedule, accumulate):
    """Guards against a schedule that somebody else has to apply (timm's lr_scale), steps counted as batches under
    accumulation, or rates of the stage before."""
    stages = [
        {"name": "a", "train": "head", "epochs": 2, "schedule": schedule, "warmup": 0.4},
        {"name": "b", "train": "stage2+", "epochs": 3, "schedule": schedule, "layer_decay": 0.5, "lr_scale": 0.3},
    ]
    _, plan, spy = train(tmp_path, stages, accumulate_grad_batches=accumulate)
    per_epoch = -(-3 // accumulate)
    assert [(i, s) for i, s, _ in spy.rates] == [(0, s) for s in range(2 * per_epoch)] + [
        (1, s) for s in range(3 * per_epoch)
    ]
    for index, step, rates in spy.rates:
        stage = plan[index]
        for group, rate in rates.items():
            assert rate == stage.rate(group, step, per_epoch * stage.epochs), (index, step, group)
    # and by hand, not by the function under test: the peak of stage b's second group from the top
    if schedule == "constant":
        assert spy.rates[-1][2]["stage3"] == pytest.approx(0.05 * 0.5 * 0.3)
        assert spy.rates[-1][2]["stage2"] == pytest.approx(0.05 * 0.25 * 0.3)
        assert spy.rates[-1][2]["stem"] == 0


class Scores(pl.Callback):
    """Replaces the validation accuracy by a given sequence."""

    def __init__(self, values):
        self.values = values

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/score", float(self.values[trainer.current_epoch]))


def run_scored(tmp_path, stages, values):
    task = make_task()
    plan = plan_stages({"stages": stages}, task.optimizer_node, task.group_names)
    callback = Stages(plan, "val/score", "max", tmp_path)
    spy = Spy(callback)
    runner = pl.Trainer(
        max_epochs=callback.total_epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[Scores(values), callback, spy, Checkpoints(tmp_path, callback, "val/score", "max", Interruption())],
    )  # fmt: skip
    weights = {}

    class Keep(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            weights[trainer.current_epoch] = {k: v.clone() for k, v in pl_module.state_dict().items()}

    runner.callbacks.append(Keep())
    runner.fit(task, loader(), loader())
    return spy, weights, runner


def test_a_stage_ends_on_a_plateau_and_the_run_after_the_last_stage(tmp_path):
    """Guards against a plateau that never ends a stage, or one of an earlier stage that ends the next at once."""
    stages = [
        {"name": "a", "train": "head", "epochs": 9, "patience": 2},
        {"name": "b", "train": "all", "epochs": 9, "patience": 1},
    ]
    spy, _, runner = run_scored(tmp_path, stages, [0.5, 0.6, 0.6, 0.59, 0.1, 0.2, 0.2, 9, 9, 9])
    # a: epochs 0..3 (best at 1, two without a better one); b: epochs 4..6 (best at 5)
    assert [i for i, _, _ in spy.rates] == [0] * 3 * 4 + [1] * 3 * 3
    assert runner.current_epoch == 7


def test_the_next_stage_starts_from_the_best_weights_where_asked(tmp_path):
    """Guards against start_from: best that goes on from the last weights, or goes back to them in every epoch."""
    stages = [
        {"name": "a", "train": "all", "epochs": 3},
        {"name": "b", "train": "all", "epochs": 2, "start_from": "best"},
        {"name": "c", "train": "all", "epochs": 1, "start_from": "last"},
    ]
    spy, weights, runner = run_scored(tmp_path, stages, [0.1, 0.9, 0.2, 0.5, 0.4, 0.0])
    same = [all(torch.equal(spy.snapshots[i][k], weights[e][k]) for k in weights[e]) for i, e in ((1, 1), (2, 4))]
    assert same == [True, True]
    assert not all(torch.equal(spy.snapshots[1][k], weights[2][k]) for k in weights[2])
    assert all(torch.equal(spy.starts[4][k], weights[3][k]) for k in weights[3])
    assert runner.checkpoint_callback.figures["val/score"] == pytest.approx(0.9)  # of the best epoch, not the last


def test_a_run_that_goes_on_is_where_it_was_in_its_plan(tmp_path):
    """Guards against a plateau that is waited for from the beginning, and against rates of another step."""
    stages = [{"name": name, "train": "head", "patience": 2} for name in "ab"]
    held = {"index": 1, "first_epoch": 3, "first_step": 30, "best": 0.5, "waited": 1}
    callback = Stages(plan_stages({"stages": stages}, {"lr": 0.1}, ["stem", "head"]), "val/loss", "min", tmp_path)
    callback.load_state_dict(held)
    assert callback.state_dict() == held


def test_a_loss_on_a_gpu_is_looked_at_before_the_epoch_is_saved(tmp_path, monkeypatch):
    """Guards against a checkpoint of spoilt weights where the loss of each step stays on its device."""
    monkeypatch.setattr(divergence, "_on_cpu", lambda number: False)
    task = make_task()
    plan = plan_stages({"stages": [{"name": "a", "train": "all"}]}, task.optimizer_node, task.group_names)
    watch = divergence.Divergence(Stages(plan, "val/loss", "min", tmp_path))
    more = {"num_training_batches": 3, "accumulate_grad_batches": 1, "log_every_n_steps": 50}
    trainer = SimpleNamespace(global_step=1, current_epoch=0, **more)
    watch.on_train_batch_end(trainer, task, {"loss": torch.tensor(1.0)}, None, 0)
    watch.on_train_epoch_end(trainer, task)
    for trainer.global_step, loss in ((2, torch.nan), (3, 1.0)):
        watch.on_train_batch_end(trainer, task, {"loss": torch.tensor(loss)}, None, trainer.global_step - 1)
    with pytest.raises(Diverged, match=r"got NaN or infinity in step 1 \(epoch 0, stage a\)"):
        watch.on_train_epoch_end(trainer, task)
