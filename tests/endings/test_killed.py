"""kill -9 of a command that has started processes: after ten seconds nothing is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.endings.processes import MARK, gone, leftovers, marked
from tlx.base.files import is_locked
from tlx.runs.run import Run

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


PARENTS = {
    "train": ["train"],
    "two processes": ["train", "trainer.accelerator=cpu", "trainer.devices=2"],
    "check": ["check"],
    "sweep": ["train", "-m", "seed=0,1"],
    "joblib": ["train", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1"],
    "ray": ["train", "-m", "hydra/launcher=ray", "hydra.launcher.n_jobs=2", "seed=0,1"],
}


def at_work(parent: str, outputs: Path, value: str) -> bool:
    """Return whether a run has trained an epoch, or a file is being looked at."""
    if parent == "check":
        return any("tlx.data.reading.facts" in command for command in marked(value).values())
    return any(outputs.glob("**/last.ckpt"))


def locks(folder: Path) -> set[Path]:
    return {path for path in folder.glob("**/*.lock") if is_locked(path)}


@pytest.mark.nightly
@pytest.mark.parametrize("parent", PARENTS)
def test_nothing_is_left_of_a_killed_command(parent, images, temporary, tmp_path):
    """Guards against processes that go on for nobody, and against locks, folders and segments that they leave: reading
    processes, torchrun and its workers, the server that forks jobs, jobs, readers that check files; and against a run
    that waits for ever for its batches because TMPDIR has a long name."""
    outputs = tmp_path / "outputs"
    arguments = [*PARENTS[parent], f"dataset.root={images}", "dataset=folder"]
    if parent == "ray":  # its own sockets lie in TMPDIR
        pytest.importorskip("ray")
        temporary = Path(tempfile.mkdtemp(prefix="e", dir="/tmp"))
    if parent == "check":
        (images / "a" / "sparse.png").touch()
        os.truncate(images / "a" / "sparse.png", 2**41)
    else:
        arguments += [
            *SMALL,
            "strategy.stages.0.epochs=3000",
            "strategy.stages.0.patience=null",
            f"output_dir={outputs}",
        ]
    process, value = start(["-m", "tlx", *arguments], temporary)
    with process:
        until = time.monotonic() + 300
        while not at_work(parent, outputs, value) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None
        time.sleep(5 if parent == "ray" else 0.5)  # its own agents begin late
        pids = marked(value)
        assert len(pids) > 1
        process.kill()
    left = gone(value)
    runs = [Run(path.parent) for path in outputs.glob("**/status.json")]
    print(parent, "left:", left, "states:", [run.status["state"] for run in runs])
    assert left == {}
    until = time.monotonic() + 5  # the kernel may still be closing the files of a process that has ended
    while locks(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert locks(tmp_path) == set()
    assert leftovers(temporary, pids) == set()
    if parent not in ("train", "check"):  # what was killed there wrote itself
        assert not list(outputs.glob("**/*.tmp"))
        assert {run.status["state"] for run in runs if (run.checkpoints / "last.ckpt").is_file()} == {"interrupted"}
