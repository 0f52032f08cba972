"""What does not fit into memory is refused before it is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tlx
from tlx.backbones import small_cnn
from tlx.base import machine
from tlx.base.errors import TlxError
from tlx.config import for_hydra
from tlx.launch import hydra_main
from tlx.training import memory

SMALL = ["dataset=digits", "backbone=small_cnn", "strategy=full"]


@pytest.mark.parametrize(
    ("overrides", "path", "hint"),
    [
        (["backbone.width=100000"], "backbone.width", "backbone.width=32"),
        (["dataset.image_size=100000"], "dataset.image_size", "task.tile_size=224"),
        (["dataset.batch_size=1000000"], "dataset.batch_size", "for example dataset.batch_size="),
        (["dataset.num_workers=1024"], "dataset.num_workers", "dataset.num_workers=auto"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], path: str, hint: str
) -> None:
    """Guards against a machine that swaps or a process that is killed without a word, and against a directory that a
    run leaves which never began."""
    monkeypatch.setattr(memory, "memory_available", lambda: 16 * 10**9)
    config = tlx.compose([*SMALL, "trainer.accelerator=cpu", *overrides, f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(TlxError, match=f"{path}: expected a run that fits into 16.0 GB of free memory, got about") as e:
        tlx.train(config)
    assert hint in str(e.value)
    assert not (tmp_path / "run").exists()


def test_what_is_refused_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_run: tlx.Run
) -> None:
    """Guards against a folder with a lock and a log of a run that never began, which Hydra had made for the command;
    and against a finished run that is refused for want of a GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["tlx"])
    line = [*SMALL, "trainer.accelerator=gpu", f"run_dir={tmp_path / 'run'}"]
    with pytest.raises(TlxError, match="expected a GPU that torch can use, got none"):
        hydra_main(for_hydra(line, None))
    assert not (tmp_path / "run").exists()
    config = tiny_run.config.copy()
    config.trainer.accelerator = "gpu"
    assert tlx.train(config).finished


def test_the_memory_of_the_gpu_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a batch that is measured by the host's memory, and by another GPU than the one that trains."""
    free = {0: 80 * 10**9, 1: 10**9}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device], 0))
    monkeypatch.setattr(memory, "memory_available", lambda: 16 * 10**9)
    line = [*SMALL, "dataset.image_size=64", "dataset.batch_size=4096", "dataset.num_workers=0"]
    memory.refuse_what_does_not_fit(tlx.compose([*line, "trainer.devices=[0]"]))
    with pytest.raises(TlxError, match=r"fits into 1\.0 GB of free memory of the GPU, got about"):
        memory.refuse_what_does_not_fit(tlx.compose([*line, "trainer.devices=[1]"]))


def test_the_proposed_batch_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a hint that is refused in its turn."""
    monkeypatch.setattr(memory, "memory_available", lambda: 16 * 10**9)
    line = [*SMALL, "trainer.accelerator=cpu", "dataset.image_size=64"]
    with pytest.raises(TlxError, match=r"for example dataset\.batch_size=\d+") as told:
        memory.refuse_what_does_not_fit(tlx.compose([*line, "dataset.batch_size=1000000"]))
    memory.refuse_what_does_not_fit(tlx.compose([*line, str(told.value).split()[-1]]))


def test_what_is_estimated_is_what_autograd_keeps() -> None:
    """Guards against an estimate that is too large, which would refuse runs that fit."""
    config = tlx.compose([*SMALL, "backbone.width=8", "dataset.channels=1", "dataset.image_size=32"])
    backbone = small_cnn(width=8, in_channels=1)
    held: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        backbone.train()(torch.zeros(4, 1, 32, 32))
    estimate = memory.estimated(config, batch=4).parts
    assert estimate["activations"] == sum(storage.nbytes() for storage in held.values())
    weights = 4 * sum(p.numel() for p in backbone.parameters())
    assert estimate["weights"] == 4 * weights  # with gradients and AdamW's two averages; the head's classes are unknown
    assert estimate["images"] == 4 * 4 * 32 * 32


def test_frozen_layers_keep_nothing() -> None:
    """Guards against a linear probe that is refused for activations which it does not keep."""
    config = tlx.compose([*SMALL[:2], "strategy=linear_probe", "dataset.image_size=64"])
    assert memory.estimated(config, batch=64).parts["activations"] == 0


@pytest.mark.parametrize(
    ("keys", "height", "width"),
    [
        (["dataset.min_side=64"], 64, 96),
        ([], 256, 320),  # scenes of 160 x 192, enlarged
        (["dataset.image_size=100"], 100, 100),
    ],
)
def test_a_detector_is_estimated_with_its_own_input(keys: list[str], height: int, width: int) -> None:
    """Guards against a run that is refused, or not, for the memory of the backbone's own input."""
    line = ["task=detection", "dataset=scenes", "dataset.count=5", "dataset.image_size=null", "backbone=small_cnn"]
    estimate = memory.estimated(tlx.compose([*line, "strategy=full", *keys]), batch=4)
    assert estimate.parts["images"] == 4 * 4 * 3 * height * width


def test_a_large_input_of_a_detector_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a size that is not estimated because only the images say it, and a hint at another task's key."""
    monkeypatch.setattr(memory, "memory_available", lambda: 16 * 10**9)
    line = ["task=detection", "dataset=scenes", "dataset.count=5", "backbone=small_cnn", "strategy=full"]
    for size in (["dataset.image_size=100000"], ["dataset.image_size=null", "dataset.min_side=100000"]):
        config = tlx.compose([*line, "trainer.accelerator=cpu", *size])
        with pytest.raises(TlxError, match=r"(?s)dataset\.image_size: .*a smaller side$"):
            memory.refuse_what_does_not_fit(config)


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """Guards against a container or a job of SLURM, whose limit lies below what the machine has free."""
    own = tmp_path / "own"
    own.write_text("0::/job/step\n" if version == 2 else "4:cpu:/x\n3:memory:/job/step\n0::/\n")
    group = tmp_path / ("job" if version == 2 else "memory/job")
    (group / "step").mkdir(parents=True)
    names = ("max", "current") if version == 2 else ("limit_in_bytes", "usage_in_bytes")
    for name, number in zip(names, (3_000_000, 1_000_000), strict=True):
        (group / f"memory.{name}").write_text(f"{number}\n")
    (group / "step" / f"memory.{names[0]}").write_text("max\n" if version == 2 else f"{2**63 - 4096}\n")
    (group / "step" / f"memory.{names[1]}").write_text("9\n")
    (group / "memory.stat").write_text(f"anon 7\n{'' if version == 2 else 'total_'}inactive_file 500000\n")
    monkeypatch.setattr(machine, "_OWN", own)
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    assert machine.memory_available() == 2_500_000


def test_accelerators_that_are_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards against Lightning's traceback for Apple's and Google's devices on another machine."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("mps", "tpu"):
        config = tlx.compose([*SMALL, f"trainer.accelerator={name}", f"run_dir={tmp_path / name}"])
        with pytest.raises(TlxError, match=rf"trainer\.accelerator: expected an available one, got {name}"):
            tlx.train(config)
