"""Several processes and one cache: computed once, whole after a kill, equal under DDP."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.callbacks.test_frozen_prefix import DIGITS, TWO_STAGES, assert_equal, computed, images, train
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_commands")]
PROBE = (*DIGITS, "strategy=linear_probe", "trainer.stage_epochs=1", "dataset.augment=none")
WHOLE = 359 + 100 + 359


def start(directory: Path, *overrides: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "tests.features.slow_prefix",
        f"run_dir={directory}",
        f"cache.dir={directory.parent / 'cache'}",
    ]
    return subprocess.Popen([*command, *overrides], cwd=ROOT, stdout=subprocess.DEVNULL)


def test_two_that_want_the_same_compute_it_once(tmp_path):
    """Guards against jobs of a sweep that each run the prefix, or read what is half written."""
    jobs = [start(tmp_path / name, *PROBE, f"optimizer.lr={rate}") for name, rate in (("a", 0.1), ("b", 0.2))]
    assert [job.wait(timeout=300) for job in jobs] == [0, 0]
    assert images(tmp_path / "a") + images(tmp_path / "b") == WHOLE


def test_a_killed_process_leaves_neither_lock_nor_loss(tmp_path):
    """Guards against a lock that nobody gives back, half a file that is trained on, and work that is done twice."""
    job = start(tmp_path / "a", *PROBE)
    until = time.monotonic() + 120
    while not list((tmp_path / "cache").rglob("*.rows")) and time.monotonic() < until:
        time.sleep(0.01)
    job.kill()
    job.wait()
    assert list((tmp_path / "cache").rglob("*.rows"))
    again = train(tmp_path / "b", *PROBE)
    assert 0 < images(tmp_path / "b") < WHOLE
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert_equal(again, train(tmp_path / "plain", *PROBE, "cache.enabled=false"))


def test_two_processes_of_one_run_compute_their_shares(tmp_path):
    """Guards against ranks that train on other rows than one another, or that each run the whole prefix."""
    common = (*DIGITS, TWO_STAGES, "trainer.devices=2", "trainer.precision=64-true", "optimizer=sgd")
    cached = train(tmp_path / "cached", *common)
    plain = train(tmp_path / "plain", *common, "cache.enabled=false")
    assert_equal(cached, plain)
    assert "val: 180" in computed(tmp_path / "cached")  # the first process has half of 359
    one = train(tmp_path / "one", *(w for w in common if "devices" not in w), "cache.enabled=false")
    assert_equal(cached, one)
