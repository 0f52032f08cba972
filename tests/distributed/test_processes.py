"""Two processes on the CPU (gloo): what DDP gets wrong when layers thaw."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.adaptation.test_runs import history
from tests.conftest import ROOT
from tlx import compose
from tlx.runs.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_commands")]
WORKER = "tests.distributed.spying_worker"
STAGES = [
    "{name: head, train: head, epochs: 1, batch_norm: frozen, schedule: constant}",
    "{name: top, train: 'stage3+', epochs: 1, batch_norm: frozen, schedule: constant}",
    "{name: all, train: all, epochs: 2, batch_norm: frozen, schedule: constant}",
    "{name: back, train: 'stage2+', epochs: 1, batch_norm: frozen, schedule: constant}",
]
EPOCHS = 5
RANKED = ["task.monitor=val/auroc", "task.mode=max"]  # a figure for which processes gather what they kept


def train(directory: Path, processes: int, batch_size: int, mode: str = "rewrap", *overrides: str) -> list[list[dict]]:
    """Train and return weights[rank][epoch]."""
    config = compose(
        [
            "backbone=small_cnn", "backbone.width=8", "dataset.image_size=16", "dataset.fraction=0.5", "optimizer=sgd",
            "optimizer.lr=0.05", f"strategy.stages=[{', '.join(STAGES)}]", f"dataset.batch_size={batch_size}",
            "dataset.num_workers=0", "logger=none", "trainer.precision=64-true",
            f"trainer.devices={processes}", f"run_dir={directory}", *overrides,
        ]
    )  # fmt: skip
    Run(directory).begin(config)
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += [WORKER, str(directory), mode]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [
        [torch.load(directory / f"rank{r}_epoch{e}.pt", weights_only=True) for e in range(EPOCHS)]
        for r in range(processes)
    ]


def apart(one: dict, other: dict) -> float:
    return max(float((one[k] - other[k]).abs().max()) for k in one)


def test_processes_hold_the_same_weights_after_every_stage_change_and_equal_one_with_twice_the_images(tmp_path):
    """Guards against thawed parameters that DDP does not synchronise (Lightning's BackboneFinetuning and
    finetuning-scheduler), and against a sampler that gives two processes, 16 images each, other batches than one; and
    against a start of each process that imports torch's compiler."""
    two = train(tmp_path / "two", 2, 32)
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], two[1][epoch]) == 0.0, epoch
    one = train(tmp_path / "one", 1, 32)
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], one[0][epoch]) < 1e-12, epoch  # in double precision
    # The comparison says something: training moved the weights by far more than rounding.
    assert apart(one[0][0], one[0][-1]) > 1e-2
    assert "torch._dynamo.eval_frame" not in (tmp_path / "two" / "rank1_imports.txt").read_text().splitlines()
    tested = [Run(tmp_path / name).metrics["test/loss"] for name in ("one", "two")]
    assert tested[0] == pytest.approx(tested[1], abs=1e-4)


@pytest.mark.nightly
def test_processes_with_weights_and_balanced_classes_equal_one(tmp_path):
    """Guards against a loss that is divided by the weights of each process's own images, and against an image of a
    small class that both processes draw at once; and against an area of one process's images."""
    more = ["dataset.sampling=balanced", "task.class_weights={3: 5, 4: 0.2}", *RANKED]
    two, one = train(tmp_path / "two", 2, 32, "rewrap", *more), train(tmp_path / "one", 1, 32, "rewrap", *more)
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], one[0][epoch]) < 1e-12, epoch
    assert apart(one[0][0], one[0][-1]) > 1e-2
    measured = [Run(tmp_path / name).metrics for name in ("one", "two")]
    for key in ("test/loss", "val/auroc", "test/auroc", "test/auroc_low", "test/sensitivity_high/3"):
        assert measured[0][key] == pytest.approx(measured[1][key], abs=1e-4), key


@pytest.mark.nightly
def test_processes_with_micro_batches_equal_one_with_whole_ones(tmp_path):
    """Guards against processes with unequal numbers of micro batches, and gradients that are averaged twice."""
    two, one = train(tmp_path / "two", 2, 32, "rewrap", "dataset.micro_batch=5"), train(tmp_path / "one", 1, 32)
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], two[1][epoch]) == 0.0, epoch
        assert apart(two[0][epoch], one[0][epoch]) < 1e-12, epoch
    assert apart(one[0][0], one[0][-1]) > 1e-2


@pytest.mark.nightly
def test_processes_average_the_same_weights(tmp_path):
    """Guards against averages of each process's own steps, and against statistics of BatchNorm that differ."""
    more = ["trainer.average_weights=0.5", "strategy.stages.3.batch_norm=train"]
    two, one = train(tmp_path / "two", 2, 32, "rewrap", *more), train(tmp_path / "one", 1, 32, "rewrap", *more)
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], two[1][epoch]) == 0.0, epoch
        if epoch < EPOCHS - 1:  # then each process has the statistics of its own images
            assert apart(two[0][epoch], one[0][epoch]) < 1e-12, epoch
    assert apart(one[0][0], one[0][-1]) > 1e-2


@pytest.mark.nightly
def test_without_wrapping_again_the_processes_drift_apart(tmp_path):
    """Guards against the test above passing for another reason: the fault shows when the cure is taken away."""
    two = train(tmp_path, 2, 32, "naive")
    assert apart(two[0][0], two[1][0]) == 0.0
    assert apart(two[0][-1], two[1][-1]) > 1e-4


@pytest.mark.nightly
def test_sharded_training_equals_one_process(tmp_path):
    """Guards against FSDP that loses a thawed group, or moves a frozen one."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = {}
    for name, devices in (("one", 1), ("fsdp", 2)):
        runs[name] = Run(tmp_path / name)
        command = [
            sys.executable, "-m", "tlx", "train", "backbone=small_cnn", "backbone.width=8", "dataset.image_size=16",
            "trainer.limit_batches=4", "optimizer=sgd", "optimizer.lr=0.01", "optimizer.momentum=0",
            "optimizer.nesterov=false",
            f"strategy.stages=[{', '.join(STAGES)}]",
            "dataset.batch_size=32", "dataset.num_workers=0", "logger=none", f"trainer.devices={devices}",
            f"run_dir={tmp_path / name}", f"trainer.strategy={'fsdp' if devices > 1 else 'auto'}",
        ]  # fmt: skip
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    states = [
        torch.load(runs[n].checkpoints / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"] for n in runs
    ]
    assert apart(*states) < 1e-5  # single precision: Lightning shards in no other
    assert runs["one"].metrics["test/loss"] == pytest.approx(runs["fsdp"].metrics["test/loss"], abs=1e-4)


@pytest.mark.parametrize("strategy", [pytest.param("dann", marks=pytest.mark.nightly), "self_training"])
def test_processes_adapt_one_network(strategy, tmp_path):
    """Guards against a discriminator that each process has for itself, pseudo-labels that differ between processes,
    and images of the target domain that two processes draw twice."""
    domain = ["target=plates", "target.per_class=24", f"strategy={strategy}", "strategy.adapt.start=0"]
    two = train(tmp_path / "two", 2, 32, "rewrap", *domain)
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], two[1][epoch]) == 0.0, epoch
    if strategy == "dann":  # its loss is a mean over images; pseudo-labels are counted in each process's batch
        one = train(tmp_path / "one", 1, 32, "rewrap", *domain)
        assert apart(two[0][-1], one[0][-1]) < 1e-10
        tables = [history(Run(tmp_path / name)) for name in ("one", "two")]
        for key in ("target/infomax", "oracle/accuracy"):
            measured = [[float(row[key]) for row in table] for table in tables]
            assert measured[0] == pytest.approx(measured[1], abs=1e-6), key
