"""Whole runs with a target domain: what is read, what is selected, what a resumed, cached or divided run ends with."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlx
from tlx.base.errors import ConfigError, TlxError
from tlx.runs.run import Run

pytestmark = [pytest.mark.run, pytest.mark.usefixtures("forked_commands")]
STRATEGIES = ["adabn", "coral", "dan", "dann", "cdan", "mcc", "self_training"]


def train(directory: Path, *overrides: str) -> Run:
    return tlx.train(tlx.compose([f"run_dir={directory}", f"cache.dir={directory.parent / 'cache'}", *overrides]))


def weights(run: Run, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return torch.load(run.checkpoints / name, weights_only=True)["state_dict"]


def history(run: Run) -> list[dict[str, str]]:
    with (run.directory / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_weights(one: Run, other: Run, name: str = "last.ckpt") -> None:
    first, second = weights(one, name), weights(other, name)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.fixture
def shuffled(domains, tmp_path) -> Path:
    """The target with its labels in another order; the files are otherwise the same."""
    with np.load(domains[1]) as held:
        labels = np.random.default_rng(1).permutation(held["labels"])
        np.savez(tmp_path / "shuffled.npz", images=held["images"], labels=labels)
    return tmp_path / "shuffled.npz"


@pytest.mark.parametrize(
    "strategy",
    [s if s == "self_training" else pytest.param(s, marks=pytest.mark.nightly) for s in STRATEGIES],
)
def test_labels_of_the_target_are_never_read(strategy, overrides, shuffled, tmp_path, finished):
    """Guards against labels of the target in training, in selection, or in the way it is divided and ordered."""
    one = finished(*overrides, f"strategy={strategy}")
    other = train(tmp_path / "other", *overrides, f"strategy={strategy}", f"target.path={shuffled}")
    assert_same_weights(one, other)
    assert_same_weights(one, other, "best.ckpt")
    assert [row["target/infomax"] for row in history(one)] == [row["target/infomax"] for row in history(other)]
    assert [row["oracle/accuracy"] for row in history(one)] != [row["oracle/accuracy"] for row in history(other)]


@pytest.mark.parametrize(
    "strategy", [pytest.param(s, marks=[pytest.mark.nightly] * (s in ("dan", "cdan", "mcc"))) for s in STRATEGIES]
)
def test_every_strategy_has_its_figures(strategy, overrides, tmp_path, finished):
    """Guards against a run that cannot be read, tested, continued from or used as a backbone like any other."""
    run = finished(*overrides, f"strategy={strategy}")
    for key in ("test/accuracy", "oracle/test_accuracy", "val/loss", "target/infomax", "target/entropy"):
        assert (key in run.metrics) or key in history(run)[-1], key
    best = max(history(run), key=lambda row: float(row["target/infomax"]))
    assert torch.load(run.checkpoints / "best.ckpt", weights_only=True)["epoch"] == int(best["epoch"])
    chosen = max(history(run), key=lambda row: float(row["oracle/accuracy"]))
    assert torch.load(run.checkpoints / "oracle.ckpt", weights_only=True)["epoch"] == int(chosen["epoch"])
    assert run.test()["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    assert run.config.target.name == "other"
    assert json.loads((run.directory / "model.json").read_text())["class_names"] == ["0", "1", "2", "3"]
    few = ["dataset.labels_per_class=5", "strategy=full", "backbone=run", f"backbone.run={run.directory}"]
    own = [o for o in overrides if not o.startswith(("target", "backbone", "dataset.path"))]
    (target,) = [o.removeprefix("target.") for o in overrides if o.startswith("target.path")]
    after = train(tmp_path / "after", *own, f"dataset.{target}", *few)
    assert "4 of 4 classes carried over by name" in (after.directory / "tlx.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("strategy", ["coral", pytest.param("dann", marks=pytest.mark.nightly)])
def test_the_source_is_weighed_and_balanced(strategy, overrides, tmp_path):
    """Guards against weights or balanced classes that are lost where batches come in pairs, and against a run of them
    that is not the same from a cache."""
    how = ["strategy.stages=[{name: top, train: 'last:2', epochs: 2, batch_norm: frozen}]", f"strategy={strategy}"]
    plain = train(tmp_path / "plain", *overrides, *how)
    for name, more in {"weighed": "task.class_weights={0: 5}", "balanced": "dataset.sampling=balanced"}.items():
        run = train(tmp_path / name, *overrides, *how, more)
        assert history(run)[0]["train/loss"] != history(plain)[0]["train/loss"]
        uncached = train(tmp_path / f"{name} again", *overrides, *how, more, "cache.enabled=false")
        for key, value in weights(run).items():
            torch.testing.assert_close(value, weights(uncached)[key], rtol=1e-4, atol=1e-6)
        assert run.test()["test/loss"] == pytest.approx(run.metrics["test/loss"], rel=1e-4)


def test_a_folder_of_photographs_without_labels_can_be_the_target(overrides, domains, tmp_path):
    """Guards against a target that has to be labelled after all, and against a test of nothing."""
    with np.load(domains[1]) as held:
        for i, pixels in enumerate(held["images"][:60]):
            folder = tmp_path / "photos" / f"day {i % 3}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    own = [o for o in overrides if not o.startswith("target")]
    photos = ["target=unlabelled", f"target.root={tmp_path / 'photos'}", "target.augment=affine"]
    run = train(tmp_path / "run", *own, *photos, "strategy=self_training")
    assert "target_train 48, target_val 12" in (run.directory / "tlx.log").read_text(encoding="utf-8")
    assert "oracle/accuracy" not in history(run)[0]
    assert not (run.checkpoints / "oracle.ckpt").exists()
    assert float(history(run)[-1]["target/infomax"]) > 0
    assert len((run.directory / "test_predictions.csv").read_text().splitlines()) == 1 + 72, "the source's test images"
    with pytest.raises(ConfigError, match="an option of the group dataset, got 'unlabelled'"):
        tlx.compose(["dataset=unlabelled"])


def test_source_only_is_the_same_with_and_without_a_target(overrides, tmp_path):
    """Guards against a target domain that changes training where no strategy asks for it."""
    with_target = train(tmp_path / "with", *overrides, "strategy=full")
    without = [o for o in overrides if not o.startswith("target")]
    alone = train(tmp_path / "alone", *without, "strategy=full")
    assert_same_weights(with_target, alone)
    assert with_target.metrics["test/accuracy"] != alone.metrics["test/accuracy"], "each tests its own domain"
    assert "target/infomax" in history(with_target)[0]


@pytest.mark.parametrize("strategy", ["dann", "self_training"])
def test_a_resumed_run_ends_the_same(strategy, overrides, tmp_path, monkeypatch, finished):
    """Guards against a schedule, a discriminator or pseudo-labels that start again after an interruption."""
    whole = finished(*overrides, f"strategy={strategy}")
    from tlx.callbacks.checkpoints import Checkpoints

    count = 0
    write = Checkpoints.on_train_batch_end

    def stop(self, trainer, *args):
        nonlocal count
        count += 1
        if count == 6:  # in the middle of the second epoch
            self.agreement.interruption.requested = signal.SIGTERM
        write(self, trainer, *args)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", stop)
    cut = [f"run_dir={tmp_path / 'cut'}", f"cache.dir={tmp_path / 'cache'}", *overrides, f"strategy={strategy}"]
    with pytest.raises(tlx.base.errors.Interrupted):
        tlx.train(tlx.compose(cut))
    monkeypatch.undo()
    assert_same_weights(whole, tlx.train(tlx.compose(cut)))


@pytest.mark.parametrize("strategy", ["coral", "dann", "self_training"])
def test_the_cache_changes_nothing(strategy, overrides, tmp_path):
    """Guards against rows of the one domain in the place of the other's, and against other views."""
    stages = (
        "strategy.stages=[{name: head, train: head, epochs: 2, batch_norm: frozen},"
        "{name: top, train: 'last:2', epochs: 2, batch_norm: frozen}]"
    )
    more = [*overrides, f"strategy={strategy}", stages, "cache.views=2"]
    cached = train(tmp_path / "cached", *more)
    plain = train(tmp_path / "plain", *more, "cache.enabled=false")
    assert "up to" in (cached.directory / "tlx.log").read_text(encoding="utf-8")
    for key, value in weights(cached).items():
        assert torch.allclose(value.double(), weights(plain)[key].double(), rtol=1e-4, atol=1e-6), key
    assert cached.metrics["test/accuracy"] == pytest.approx(plain.metrics["test/accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["dann", "self_training"])
def test_two_processes_train_one_network(strategy, overrides, tmp_path):
    """Guards against parameters that DDP does not know, and against processes that label other images."""
    run = train(tmp_path / "run", *overrides, f"strategy={strategy}", "trainer.devices=2", "trainer.accelerator=cpu")
    assert run.finished
    assert 0 <= run.metrics["test/accuracy"] <= 1


@pytest.mark.nightly
def test_adaptation_helps(overrides, tmp_path):
    """Guards against methods that run and do nothing: three seeds of the network on the source alone and adapted."""
    longer = [o for o in overrides if "stage_epochs" not in o] + ["trainer.stage_epochs=12"]

    def mean(strategy: str) -> float:
        runs = [train(tmp_path / f"{strategy}{s}", *longer, f"strategy={strategy}", f"seed={s}") for s in range(3)]
        return float(np.mean([run.metrics["test/accuracy"] for run in runs]))

    scores = {strategy: mean(strategy) for strategy in ("scratch", "adabn", "self_training")}
    assert scores["adabn"] > scores["scratch"] + 0.2, scores
    assert scores["self_training"] > scores["scratch"] + 0.2, scores


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["target.classes=[0,1,9]"], "target.classes: expected at least two different classes of 0, 1, 2, 3"),
        (["target.labels_per_class=3"], "target.labels_per_class: expected null"),
        (["strategy.adapt.weigth=2"], "did you mean 'weight'"),
        (["trainer.strategy=fsdp"], "trainer.strategy: expected auto or ddp"),
        (["dataset.classes=[0,1]"], "target: expected only classes of the source: 0, 1, got also 2, 3"),
    ],
)
def test_mistakes_are_told(more, expected, overrides):
    """Guards against an adaptation between things that do not fit."""
    with pytest.raises(ConfigError) as caught:
        tlx.compose([*overrides, "strategy=dann", *more])
    assert expected in str(caught.value)


def test_a_strategy_that_adapts_wants_a_target(overrides):
    """Guards against a long run on the source alone that its reader takes for an adaptation."""
    alone = [o for o in overrides if not o.startswith("target")]
    with pytest.raises(ConfigError) as caught:
        tlx.compose([*alone, "strategy=dann"])
    assert "a set of the target domain for strategy=dann" in str(caught.value)
    assert "tlx list targets" in str(caught.value)


def test_adabn_wants_batch_norm(overrides, tmp_path):
    """Guards against a run that adapts nothing without saying so."""
    more = ["backbone=swin_t", "backbone.weights=null", "dataset.image_size=32", "strategy=adabn"]
    with pytest.raises(TlxError, match="BatchNorm layers, got swin_t"):
        train(tmp_path / "run", *[o for o in overrides if "backbone" not in o], *more)


def test_l2_sp_keeps_the_backbone_near_its_start(overrides, tmp_path):
    """Guards against an anchor that holds the head as well, holds nothing, or moves with a resumed run."""
    source = train(tmp_path / "source", *[o for o in overrides if not o.startswith("target")], "strategy=full")
    alone = [o for o in overrides if not o.startswith(("target", "backbone"))]
    more = [*alone, "backbone=run", f"backbone.run={source.directory}", "strategy=full", "optimizer=sgd"]
    start = weights(source, "best.ckpt")

    def moved(name: str, strength: float) -> float:
        run = train(tmp_path / name, *more, f"optimizer.keep_source={strength}")
        keys = [k for k in start if k.startswith("backbone") and k.endswith("0.weight")]
        return sum(float((weights(run)[k] - start[k]).square().sum()) for k in keys)

    free, held = moved("free", 0.0), moved("held", 30.0)
    assert held < 0.5 * free
