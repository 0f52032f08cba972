"""`dataset.micro_batch`: a step from several micro batches is the step of the whole batch."""

from __future__ import annotations

import csv
import os
import signal

import pytest
import torch

import tlx
from tests.resume.test_kills import differences
from tlx.base.errors import Interrupted, TlxError
from tlx.callbacks.randomness import StepSeeds
from tlx.records.files import read_config
from tlx.tasks.mean_loss import StepLoss
from tlx.training import memory
from tlx.training.micro_batch import halved

STAGES = (
    "strategy.stages=[{name: head, train: head, epochs: 1}, "
    "{name: all, train: all, epochs: 2, batch_norm: frozen, warmup: 0.3}]"
)
EXACT = [
    STAGES, "trainer.precision=64-true", "trainer.gradient_clip_val=0.5", "trainer.log_every_n_steps=1", "logger=csv",
    "dataset.augment=light", "dataset.batch_size=16", "dataset.num_workers=0", "trainer.stage_epochs=2",
]  # fmt: skip


def train(uneven, directory, *more):
    return tlx.train(tlx.compose([*uneven, *EXACT, *more, f"run_dir={directory}"]))


def weights(run):
    return torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]


def step_losses(run):
    (path,) = [p for p in run.directory.rglob("metrics.csv") if p.parent != run.directory]
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/batch_loss")]
    return {int(row["step"]): float(row["train/batch_loss"]) for row in rows}


@pytest.mark.run
@pytest.mark.parametrize(
    "more",
    [(), pytest.param(("trainer.accumulate_grad_batches=2", "trainer.limit_batches=4"), marks=pytest.mark.nightly)],
)
def test_micro_batches_train_as_their_batch_does(uneven, tmp_path, more):
    """Guards against a mean over micro batches of unequal numbers of images, rates and warm-up that count micro batches
    as steps, gradients that are clipped one by one, and a logged loss of the last micro batch alone."""
    whole = train(uneven, tmp_path / "whole", *more)
    micro = train(uneven, tmp_path / "micro", "dataset.micro_batch=5", *more)
    held, got = weights(whole), weights(micro)
    assert max(float((held[n] - got[n]).abs().max()) for n in held) < 1e-12
    for name in ("train/steps", "train/epochs", "test/accuracy"):
        assert micro.metrics[name] == whole.metrics[name], name
    assert micro.metrics["test/loss"] == pytest.approx(whole.metrics["test/loss"], abs=1e-6)
    logged = step_losses(whole)
    assert len(logged) == whole.metrics["train/steps"]
    assert step_losses(micro) == pytest.approx(logged, abs=1e-6)


@pytest.mark.nightly
def test_a_run_that_stops_within_a_step_ends_with_the_same_weights(uneven, tmp_path, monkeypatch):
    """Guards against a resumed run that leaves out micro batches, or takes a step from some of them."""
    more = ("dataset.micro_batch=5", "trainer.precision=32-true")
    whole = train(uneven, tmp_path / "whole", *more)
    seeded, stops = StepSeeds.on_train_batch_start, [(0, 4), (1, 1), (2, 6)]  # epoch, micro batch

    def stopped(self, trainer, module, batch, number):
        seeded(self, trainer, module, batch, number)
        if (trainer.current_epoch, number) in stops:
            stops.remove((trainer.current_epoch, number))
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(StepSeeds, "on_train_batch_start", stopped)
    for _ in range(len(stops)):
        with pytest.raises(Interrupted):
            train(uneven, tmp_path / "stopped", *more)
    run = train(uneven, tmp_path / "stopped", *more)
    assert not stops
    assert list(differences(weights(whole), weights(run))) == []
    assert (whole.directory / "metrics.csv").read_text() == (run.directory / "metrics.csv").read_text()


@pytest.mark.run
def test_auto_is_settled_once_by_what_fits(uneven, tmp_path, monkeypatch):
    """Guards against an estimate that decides nothing, and against a choice that a resumed run would make again."""
    line = [*uneven, STAGES, "dataset.batch_size=16", "trainer.stage_epochs=1", "dataset.micro_batch=auto"]
    config = tlx.compose([*line, f"run_dir={tmp_path / 'run'}"])
    assert memory.images_that_fit(config, 16) == 16
    parts = memory.estimated(config, 16).parts
    by_image = (parts["activations"] + parts["images"]) / 16
    free = 2 * (sum(parts.values()) - 16 * by_image + 4.5 * by_image)
    monkeypatch.setattr(memory, "memory_available", lambda: int(free))
    run = tlx.train(config)
    told = (run.directory / "tlx.log").read_text(encoding="utf-8")
    assert "dataset.micro_batch=auto: 4 images at once, by an estimate of the memory; a batch is 4 micro" in told
    assert "a device computes 4 at once (dataset.micro_batch=4)" in told
    assert read_config(run.directory)["dataset"]["micro_batch"] == 4
    assert tlx.train(config).directory == run.directory


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["task=detection", "dataset=scenes"], "null for task=detection, whose loss divides by sums over the whole"),
        (["task=segmentation", "dataset=scenes"], "null for task=segmentation"),
        (
            ["dataset=digits", "target=plates", "strategy=dann"],
            "null for strategy=dann, which compares the images of a",
        ),
        (["dataset=digits", "strategy=features", "classifier=svm"], "null with a classifier: no weights train"),
    ],
)
def test_what_looks_at_a_whole_batch_is_refused(line, message):
    """Guards against gradients that do not add up to those of the batch."""
    with pytest.raises(TlxError, match=f"dataset.micro_batch: expected {message}"):
        tlx.compose([*line, "dataset.micro_batch=2"])


def test_batch_norm_in_training_is_refused(uneven, tmp_path):
    """Guards against statistics of a few images, and against a hint that is refused in its turn."""
    stages = "strategy.stages=[{name: a, train: head, epochs: 1}, {name: b, train: all, epochs: 1}]"
    line = [*uneven, stages, "trainer.stage_epochs=1", "dataset.micro_batch=2"]
    with pytest.raises(
        TlxError, match=r"where BatchNorm trains \(stage b\).*strategy\.stages\.1\.batch_norm=frozen$"
    ) as e:
        tlx.train(tlx.compose([*line, f"run_dir={tmp_path / 'a'}"]))
    hint = str(e.value).split()[-1]
    assert tlx.train(tlx.compose([*line, hint, f"run_dir={tmp_path / 'b'}"])).finished


def test_the_whole_batch_then_its_half():
    """Guards against a batch of no image, and against more trials than needed."""
    asked: list[int] = []

    def fits(images: int) -> bool:
        asked.append(images)
        return images <= 9

    assert (halved(33, fits), asked) == (9, [33, 17, 9])
    assert halved(3, lambda images: False) == 1


def test_the_loss_of_a_step_is_of_its_images():
    """Guards against a mean over batches of unequal numbers of images, and against a step that adds to the last one."""
    loss = StepLoss()
    assert loss.add(torch.tensor(7.0), 3, step=4) == 7
    assert loss.add(torch.tensor(2.0), 3, step=5) == 2
    assert loss.add(torch.tensor(4.0), 1, step=5) == 2.5
