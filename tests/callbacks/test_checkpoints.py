"""Checkpoints of short epochs: few are written, and every file is the one that would have been written each time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

import tlx
from tests.stops import stop_in_step
from tlx import Run
from tlx.base.errors import Diverged, Interrupted
from tlx.callbacks import checkpoints
from tlx.callbacks.epoch_table import EpochTable
from tlx.strategies.monitor import Monitor

pytestmark = pytest.mark.run
SETTING = (
    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "dataset.augment=none",
    "dataset.labels_per_class=10", "dataset.batch_size=20", "optimizer.lr=0.3", "logger=csv", "trainer.keep=best",
    "strategy.stages=[{name: dense, train: head, epochs: 4, batch_norm: frozen},"
    "{name: conv, train: 'last:2', epochs: 5, batch_norm: train, start_from: best}]",
)  # fmt: skip
RARELY = "trainer.checkpoint_seconds=1000"
STEPS = 5  # of an epoch


def train(directory: Path, *more: str) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        # The worst epoch is the best one: the first of the second stage, neither the first of all nor the last.
        patch.setattr("tlx.procedures.stages.monitored", lambda config: Monitor("val/loss", "max"))
        return tlx.train(tlx.compose([f"run_dir={directory}", *SETTING, *more]))


def content(run: Run, name: str) -> dict:
    """What a checkpoint holds, without the time that the run took and its own directory."""
    held = torch.load(run.checkpoints / name, weights_only=True)
    held["tlx"]["config"] = None
    held.get("callbacks", {}).get("Checkpoints", {}).pop("seconds", None)
    return held


def assert_equal(one: Run, other: Run) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        first, second = content(one, name), content(other, name)
        weights = first.pop("state_dict"), second.pop("state_dict")
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items()), name
        assert first["global_step"] == second["global_step"], name
        places = [held["loops"]["fit_loop"]["epoch_progress"]["current"] for held in (first, second)]
        assert places[0] == places[1], name
        assert first.get("callbacks") == second.get("callbacks"), name
    assert sorted(path.name for path in one.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert (one.directory / "metrics.csv").read_text() == (other.directory / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def each(tmp_path_factory) -> Run:
    """The run that writes its checkpoints after each epoch."""
    return train(tmp_path_factory.mktemp("each") / "run", "trainer.checkpoint_seconds=0")


@pytest.fixture
def written(monkeypatch) -> Counter[str]:
    """How often each file takes its place."""
    counts: Counter[str] = Counter()
    save = checkpoints._save_atomically

    def counting(path, how):
        counts[path.name] += 1
        save(path, how)

    monkeypatch.setattr(checkpoints, "_save_atomically", counting)
    return counts


def test_few_checkpoints_are_written_and_are_those_of_every_epoch(each, written, tmp_path):
    """Guards against best weights of another epoch: those held in memory, which the next steps change."""
    run = train(tmp_path / "rarely", RARELY)
    assert written["last.ckpt"] == 3  # the first epoch, and the end of each stage
    assert written["best.ckpt.next"] <= 3
    best = content(run, "best.ckpt")["global_step"]
    assert best == 5 * STEPS, "the best epoch should be one that is not written at once"
    assert_equal(run, each)


def raised_at(patch: pytest.MonkeyPatch, epoch: int) -> None:
    """End a process at the end of an epoch, before its checkpoint."""
    original = EpochTable.on_train_epoch_end

    def stop(self, trainer, pl_module):
        original(self, trainer, pl_module)
        if trainer.current_epoch == epoch:
            raise Interrupted("the test wants it so")

    patch.setattr(EpochTable, "on_train_epoch_end", stop)


@pytest.mark.parametrize(
    ("stop", "at", "saved"),
    [
        pytest.param(raised_at, 3, STEPS, marks=pytest.mark.nightly),  # loses all but the first epoch
        pytest.param(raised_at, 7, 4 * STEPS, marks=pytest.mark.nightly),  # of the second stage
        (stop_in_step, 7 * STEPS + 2, 7 * STEPS + 3),  # in the middle of an epoch, with the best weights in memory
        pytest.param(stop_in_step, 8 * STEPS - 1, 8 * STEPS, marks=pytest.mark.nightly),  # in an epoch's last step
    ],
)
def test_a_run_that_ends_between_two_checkpoints_resumes_to_the_same_end(each, stop, at, saved, tmp_path, monkeypatch):
    """Guards against best weights that are lost with the process, or come from an epoch that is trained again; and
    against a stop that loses the epochs since the last checkpoint."""
    run = Run(tmp_path / "cut")
    with monkeypatch.context() as patch:
        stop(patch, at)
        with pytest.raises(Interrupted):
            train(run.directory, RARELY)
    assert torch.load(run.checkpoints / "last.ckpt", weights_only=True)["global_step"] == saved
    assert_equal(train(run.directory, RARELY), each)


def test_a_diverged_run_names_the_checkpoint_that_is_there(tmp_path, monkeypatch):
    """Guards against a message about an epoch that was never written."""
    loss = tlx.tasks.Classification.loss_of

    def spoilt(self, output, batch):
        return loss(self, output, batch) * (float("nan") if self.trainer.current_epoch == 3 else 1)

    monkeypatch.setattr(tlx.tasks.Classification, "loss_of", spoilt)
    with pytest.raises(Diverged, match=r"epoch 3, .*the checkpoint of epoch 0 is kept"):
        train(tmp_path / "run", RARELY)
