"""k-fold cross-validation as one run, on digits through the public functions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import tlx
from tlx.base.errors import ConfigError, TlxError
from tlx.callbacks.checkpoint_reading import read_weights
from tlx.data import ImageDataModule
from tlx.procedures import kfold, plan_table

DIGITS = (
    *("backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.classes=[1,7,8]", "dataset.image_size=16"),
    *("logger=none", "trainer.stage_epochs=1", "dataset.num_workers=0", "cache=off", "dataset.labels_per_class=20"),
)
FOLDS = ("validation=kfold", "validation.folds=3")


def train(place: Path, *overrides: str) -> tlx.Run:
    return tlx.train(tlx.compose([*DIGITS, *overrides, f"run_dir={place}"]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tlx.Run:
    return train(tmp_path_factory.mktemp("runs") / "folds", *FOLDS, "strategy=lp_ft")


def test_every_image_is_predicted_once_by_a_network_that_did_not_see_it(finished: tlx.Run) -> None:
    """Guards against figures of images that were trained on, and rows beside the wrong images."""
    found, metrics = finished.out_of_fold(), finished.metrics
    right, accuracies = found.predicted == found.labels, []
    for fold, run in enumerate(finished.folds, 1):
        names, accuracy = held_out_again(run)
        assert [found.images[i] for i in np.flatnonzero(found.fold == fold)] == names
        assert accuracy == pytest.approx(float(right[found.fold == fold].mean()))
        accuracies.append(accuracy)
    assert len(set(found.images)) == len(found)
    assert metrics["val/accuracy"] == pytest.approx(float(right.mean()))
    assert metrics["cv/accuracy"] == pytest.approx(np.mean(accuracies))
    assert metrics["cv/accuracy_low"] < metrics["cv/accuracy"] < metrics["cv/accuracy_high"]
    assert np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)


def held_out_again(run: tlx.Run) -> tuple[list[str], float]:
    """Return the images that a fold holds out, and their accuracy, from the run of the fold alone."""
    data = ImageDataModule(run.config.dataset, run.model.backbone.preprocessing, run.config.seed)
    batches = list(data.in_order("val"))
    labels = torch.cat([batch["target"] for batch in batches])
    scores = torch.cat([run.model(batch["image"]) for batch in batches])
    return data.sample_names("val"), float((scores.argmax(1) == labels).float().mean())


def test_a_fold_equals_the_run_that_trains_it_alone(finished: tlx.Run, tmp_path: Path) -> None:
    """Guards against a fold that starts from the weights of the one before it, or trains in another order."""
    alone = train(tmp_path / "alone", "dataset.folds=3", "dataset.fold=2", "strategy=lp_ft", "trainer.keep=last")
    own, other = (read_weights(run.checkpoints / "best.ckpt") for run in (finished.folds[1], alone))
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_test_and_predictions_are_those_of_all_networks(finished: tlx.Run, tmp_path: Path) -> None:
    """Guards against a test of one network under the name of all, and a mean of scores for that of probabilities."""
    again = finished.test()
    assert {name: finished.metrics[name] for name in again} == pytest.approx(again)
    image = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    each = torch.stack([one.model(image).softmax(1) for one in finished.folds])
    assert torch.allclose(finished.model.predict_step({"image": image}), each.mean(0), atol=1e-6)


def test_a_stopped_run_goes_on_with_the_right_fold(finished: tlx.Run, tmp_path: Path, monkeypatch) -> None:
    """Guards against folds that are trained again or left out, and other results after a stop."""
    begun: list[int] = []
    whole = kfold.train_fold

    def stopping(config, images, number, *rest):
        begun.append(number)
        if number == 3 and begun.count(3) == 1:
            raise TlxError("stopped here")
        return whole(config, images, number, *rest)

    monkeypatch.setattr(kfold, "train_fold", stopping)
    place = tmp_path / "stopped"
    with pytest.raises(TlxError, match="stopped here"):
        train(place, *FOLDS, "strategy=lp_ft")
    written = (place / "folds" / "2" / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    run = train(place, *FOLDS, "strategy=lp_ft")
    assert begun == [1, 2, 3, 1, 2, 3]
    assert (place / "folds" / "2" / "checkpoints" / "best.ckpt").stat().st_mtime_ns == written
    timeless = [{k: v for k, v in one.metrics.items() if k != "train/seconds"} for one in (run, finished)]
    assert timeless[0] == timeless[1]
    assert run.out_of_fold().csv() == finished.out_of_fold().csv()


def test_features_and_repeats(tmp_path: Path) -> None:
    """Guards against repeats that divide alike, and a classifier that is fitted on the images that it predicts."""
    run = train(
        tmp_path / "run",
        "validation=kfold",
        "validation.folds=2",
        "validation.repeats=2",
        "strategy=features",
        "classifier=nearest_centroid",
    )
    found = run.out_of_fold()
    first, second = (
        {name: fold for name, fold, repeat in zip(found.images, found.fold, found.repeat, strict=True) if repeat == one}
        for one in (1, 2)
    )
    assert first.keys() == second.keys()
    assert len(found) == 2 * len(first)
    assert 0.2 < sum(first[name] == second[name] for name in first) / len(first) < 0.8
    assert len(found.mean()) == len(first)
    assert run.metrics["train/steps"] == 0
    assert not list((run.directory / "folds" / "rows").rglob("*.rows"))


def test_what_the_directory_of_a_cross_validation_is_used_for(finished: tlx.Run, tmp_path: Path) -> None:
    """Guards against a start from several networks at once, and folds that are left behind by a new training."""
    with pytest.raises(ConfigError, match=r"backbone=run.*|choose a fold: backbone\.run="):
        tlx.compose(["dataset=digits", "backbone=run", f"backbone.run={finished.directory}"])
    tlx.compose(["dataset=digits", "backbone=run", f"backbone.run={finished.directory / 'folds' / '1'}"])
    place = tmp_path / "again"
    shutil.copytree(finished.directory, place)
    run = tlx.Run(place)
    run.begin(finished.config)
    assert not list((place / "folds").rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["dataset.folds=5", "dataset.fold=1"], "dataset.folds: expected null with validation=kfold"),
        (["trainer.devices=2"], "trainer.devices: expected 1 with validation=kfold"),
        (["dataset=scenes", "task=segmentation"], "-m dataset.folds=5 dataset.fold=1,2,3,4,5"),
        (["target=letters", "strategy=coral"], "validation: expected split with a target domain"),
        (["validation=kfolds"], "kfold"),
        (["folds=5"], "validation=kfold"),
    ],
)
def test_what_folds_do_not_go_with(typed: list[str], expected: str) -> None:
    """Guards against a cross-validation that is not one, and an error that does not say what to type."""
    with pytest.raises(ConfigError) as found:
        tlx.compose(["dataset=digits", "validation=kfold", *typed])
    assert expected in str(found.value)


def test_too_many_folds_for_the_images(tmp_path: Path) -> None:
    """Guards against a message that names the key of another feature."""
    with pytest.raises(TlxError, match=r"^validation\.folds: expected .*; for example validation\.folds=\d+$"):
        train(tmp_path / "run", "validation=kfold", "validation.folds=900", "strategy=features")


def test_the_plan_counts_the_steps_of_all_folds() -> None:
    """Guards against the steps of one fold for those of the run."""
    text = plan_table(tlx.compose([*DIGITS, *FOLDS, "strategy=linear_probe", "trainer.stage_epochs=null"]))
    assert "3 folds of " in text
    assert "steps each" in text


def test_names_say_the_folds() -> None:
    """Guards against a cross-validation and a run under one name, and other names of runs without folds."""
    assert "-kfold3-" in tlx.compose([*DIGITS, *FOLDS]).run_name
    plain = tlx.compose([*DIGITS])
    assert plain.run_name == tlx.compose([*DIGITS, "validation.folds=7"]).run_name
