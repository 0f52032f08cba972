"""The legible part of a run's name."""

from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from tlx import Run, compose
from tlx.config.label import LONGEST, words
from tlx.config.overrides import sweep_jobs

SMALL = ["backbone=small_cnn", "dataset=digits"]
PLAIN = "digits-small_cnn-full"


def name(*overrides: str) -> str:
    """Return the name of a run without its hash."""
    return str(compose([*SMALL, *overrides]).run_name).rpartition("-")[0]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], f"{PLAIN}-s0"),
        (["optimizer.lr=3e-4", "strategy=linear_probe", "seed=2"], "digits-small_cnn-linear_probe-lr3e-4-s2"),
        (["optimizer.lr=0.001", "dataset.image_size=64", "seed=0"], f"{PLAIN}-s0"),  # as shipped
        (["backbone=efficientnet_lite0", "optimizer=sgd"], "digits-lite0-full-sgd-s0"),
        (["dataset.classes=[0,1,2]", "dataset.labels_per_class=10"], f"{PLAIN}-labels10-classes_0_1_2-s0"),
        (["trainer.devices=1", "dataset.num_workers=3", "logger=none"], f"{PLAIN}-s0"),
        (["dataset.augment=strong", "trainer.precision=bf16-mixed"], f"{PLAIN}-strong-bf16-mixed-s0"),
        (["dataset.horizontal_flip=true", "backbone.width=8"], f"{PLAIN}-width8-horizontal_flip-s0"),
        (["strategy=lp_ft", "strategy.stages.0.epochs=3"], "digits-small_cnn-lp_ft-probe_epochs3-s0"),
        (["strategy=full", "strategy.stages.0.epochs=30"], "digits-small_cnn-full-epochs30-s0"),
        (["strategy=features", "classifier=svm"], "digits-small_cnn-features_svm-s0"),
        (["dataset.name='my pets,(old)=1'"], "my_pets__old__1-small_cnn-full-s0"),
        (
            ["task=detection", "dataset=scenes", "task.model=retinanet"],
            "scenes-small_cnn-full-boxes-retinanet-s0",
        ),
        (["target=plates", "strategy=coral", "dataset.subset_seed=4"], "digits_to_plates-small_cnn-coral-subset4-s0"),
    ],
)  # fmt: skip
def test_a_name_says_what_was_chosen(typed: list[str], expected: str) -> None:
    """Guards against twenty runs of a sweep that only their hashes tell apart, and names of what nobody chose."""
    assert name(*typed) == expected


def test_one_configuration_has_one_name() -> None:
    """Guards against a job of a sweep that trains what a single command has trained, under another name."""
    single = name("optimizer.lr=0.01", "dataset.batch_size=16", "trainer.stage_epochs=2")
    (job, *_) = sweep_jobs(["trainer.stage_epochs=2,3", "dataset.batch_size=16", "optimizer.lr=1e-2,1e-3"])
    assert name(*job) == single == "digits-small_cnn-full-lr0.01-batch16-epochs2-s0"


def test_a_name_stays_short() -> None:
    """Guards against names that no terminal shows on one line."""
    plain = OmegaConf.to_container(
        compose(
            [
                *SMALL, "optimizer.lr=1e-2", "optimizer.weight_decay=0.3", "dataset.batch_size=7",
                "dataset.fraction=0.5", "dataset.image_size=[48,32]", "trainer.stage_epochs=3",
                "task.dropout=0.5", "trainer.patience=2",
                "dataset.sampling=balanced", "optimizer.betas=[0.8,0.9]", "optimizer.group_lr={head: 0.1}",
            ]
        )
    )  # fmt: skip
    assert isinstance(plain, dict)
    found = words({str(key): value for key, value in plain.items()})
    assert found[:3] == ["lr0.01", "fraction0.5", "size_48_32"]
    assert sum(map(len, found)) <= LONGEST
    assert all(re.fullmatch(r"[\w.+-]+", word) for word in found)


def test_a_source_run_is_called_a_source(tiny_run: Run) -> None:
    """Guards against a backbone called `run` in the names of all transfers, whatever they come from."""
    assert name("backbone=run", f"backbone.run={tiny_run.directory}").startswith("digits-source_digits-full-")
