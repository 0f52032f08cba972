"""One GPU a job, without a GPU: locks on files, names made up."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tlx.sweeps import gpus

TWO = ["GPU-aaaa-1", "GPU-bbbb-2"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, {"GPU-aaaa-1": "GPU-aaaa-1", "GPU-bbbb-2": "GPU-bbbb-2"}),
        ("1", {"1": "GPU-bbbb-2"}),
        ("1, 0", {"1": "GPU-bbbb-2", "0": "GPU-aaaa-1"}),
        ("GPU-bbbb", {"GPU-bbbb": "GPU-bbbb-2"}),
        ("MIG-cc", {"MIG-cc": "MIG-cc"}),
        ("", {}),
        ("0,7,1", {"0": "GPU-aaaa-1"}),  # as CUDA reads it
    ],
)
def test_cuda_visible_devices_is_respected(chosen: str | None, expected: dict[str, str]) -> None:
    """Guards against jobs on GPUs that the user, or a cluster, keeps from them."""
    environment = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert gpus.visible(TWO, environment) == expected


@pytest.mark.parametrize(
    ("devices", "accelerator", "expected"),
    [("auto", "auto", 1), (-1, "gpu", 1), (1, "cuda", 1), (2, "gpu", 2), ([0, 1], "gpu", 0), ("auto", "cpu", 0)],
)
def test_a_job_takes_as_many_as_it_asks_for(devices: object, accelerator: str, expected: int) -> None:
    """Guards against `auto` that takes all GPUs from the others, and a lock for a job on the CPU."""
    assert gpus.wanted(devices, accelerator) == expected


def test_jobs_at_once_hold_different_gpus_and_the_next_one_waits(tmp_path: Path, monkeypatch) -> None:
    """Guards against two jobs on one GPU while another is idle."""
    monkeypatch.setattr(gpus, "POLL", 0.01)
    names = gpus.visible(TWO, {})
    got: list[str] = []

    def third() -> None:
        with gpus.lease(names, 1, folder=tmp_path) as held:
            got.extend(held)

    with gpus.lease(names, 1, folder=tmp_path) as first:
        with gpus.lease(names, 1, folder=tmp_path) as second:
            assert {*first, *second} == set(TWO)
            waiting = threading.Thread(target=third)
            waiting.start()
            waiting.join(timeout=0.1)
            assert waiting.is_alive()
        waiting.join(timeout=10)
    assert got == second


def test_a_job_of_two_gpus_takes_both_or_none(tmp_path: Path, monkeypatch) -> None:
    """Guards against two jobs that wait for ever, each for the GPU that the other one holds."""
    monkeypatch.setattr(gpus, "POLL", 0.01)
    names = gpus.visible(TWO, {})
    with gpus.lease(names, 1, folder=tmp_path) as one:
        looks = iter([False, True])
        with gpus.lease(names, 2, lambda: next(looks), folder=tmp_path) as none:
            assert none == []
            with gpus.lease(names, 1, folder=tmp_path) as other:
                assert {*one, *other} == set(TWO)


def test_without_gpus_nothing_is_waited_for(tmp_path: Path) -> None:
    """Guards against a sweep on a CPU that waits for a GPU."""
    with gpus.lease({}, 1, folder=tmp_path) as held:
        assert held == []


def test_a_gpu_is_free_again_when_its_job_was_killed(tmp_path: Path) -> None:
    """Guards against a GPU that stays taken until somebody deletes a file."""
    code = (
        "import os, signal, sys; from pathlib import Path; from tlx.sweeps import gpus\n"
        f"with gpus.lease({{'a': 'a'}}, 1, folder=Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -9
    with gpus.lease({"a": "a"}, 1, lambda: True, folder=tmp_path) as held:
        assert held == ["a"]
