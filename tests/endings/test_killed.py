"""kill -9 of a process that has started others: after ten seconds nothing is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.endings.processes import MARK, gone, leftovers, marked
from tlx.files import is_locked

SMALL = [
    "dataset=folder", "dataset.image_size=32", "dataset.batch_size=8", "dataset.num_workers=2", "backbone=small_cnn",
    "backbone.width=4", "strategy=full", "logger=none",
]  # fmt: skip


@pytest.fixture
def images(tmp_path):
    numbers = np.random.default_rng(0)
    for name in "ab":
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for place in range(40):
            Image.fromarray(numbers.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{place}.png")
    return tmp_path / "images"


@pytest.fixture
def temporary(tmp_path):
    """A temporary folder whose path is too long for sockets."""
    folder = tmp_path / ("t" * 100)
    folder.mkdir()
    return folder


def start(arguments: list[str], temporary: Path, **more: object) -> tuple[subprocess.Popen[bytes], str]:
    value = uuid.uuid4().hex
    environment = {**os.environ, MARK: value, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, start_new_session=True, **more
    )  # type: ignore[call-overload]
    return process, value


def forked(value: str, pid: int) -> list[int]:
    """Return the processes that were forked from one, and run the same command."""
    found = marked(value)
    return [other for other, command in found.items() if other != pid and command == found.get(pid)]


@pytest.mark.nightly
def test_nothing_is_left_of_a_killed_training(images, temporary, tmp_path):
    """Guards against reading processes that go on, or leave a folder, when the one that trains is killed; and against a
    run that waits for ever for its batches because TMPDIR has a long name."""
    run = tmp_path / "run"
    train = ["-m", "tlx", "train", f"dataset.root={images}", f"run_dir={run}", *SMALL]
    process, value = start(train, temporary)
    with process:
        until = time.monotonic() + 120
        while len(readers := forked(value, process.pid)) < 2 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        assert len(readers) >= 2
        pids = marked(value)
        process.kill()
    assert gone(value) == {}
    until = time.monotonic() + 5  # the kernel may still be closing the files of a process that has ended
    while is_locked(run / ".lock") and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_locked(run / ".lock")
    assert leftovers(temporary, pids) == set()
