"""Batches of processes that read: nobody waits for ever for one that cannot come."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest
import torch

from tlx import Run, compose, train
from tlx.base import waiting
from tlx.base.errors import TlxError
from tlx.callbacks.checkpoints import Checkpoints
from tlx.data import ImageDataModule
from tlx.data.batches import batch_process, shared_memory
from tlx.data.batches import dataset as dataset_module

pytestmark = pytest.mark.slow  # they start processes that import torch


@pytest.fixture
def data(make_tree, node, preprocessing):
    root = make_tree({"train/a": 20, "train/b": 12, "test/a": 3, "test/b": 4})
    data = ImageDataModule(node("folder", root=str(root), num_workers=2), preprocessing, seed=0)
    data.setup()
    return data


def test_images_are_read_here_where_shared_memory_is_too_small(data, monkeypatch, caplog):
    """Guards against a run that waits for ever in a container: /dev/shm has no room for what its processes read."""
    one = 7 * 3 * 16 * 16  # bytes
    assert shared_memory.needed(one, processes=2) == 6 * one
    monkeypatch.setattr(shared_memory, "room", lambda: 6 * one - 1)
    loader = data.train_dataloader()
    with caplog.at_level("INFO", logger="tlx"):
        assert len(list(loader)) == 4
        assert len(list(data.val_dataloader())) == 1
    assert loader.num_workers == 0
    told = [record.getMessage() for record in caplog.records if "/dev/shm" in record.getMessage()]
    assert len(told) == 1  # once for all loaders
    assert "--shm-size" in told[0]
    monkeypatch.setattr(shared_memory, "room", lambda: 6 * one)
    loader = data.train_dataloader()
    assert len(list(loader)) == 4
    assert loader.num_workers == 2


def test_a_batch_for_which_there_is_no_room_after_all_ends_in_a_message(data, monkeypatch):
    """Guards against torch's thread in the reading process, which prints the error and drops the batch."""

    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    monkeypatch.setattr(data, "_keep", lambda split, dataset: None)
    with pytest.raises(TlxError, match=r"^/dev/shm: expected room .* No space left on device .*num_workers=0"):
        list(data.train_dataloader())


def test_a_batch_that_cannot_be_sent_ends_its_process(data, monkeypatch):
    """Guards against any other fault of that thread, such as a socket that cannot be made: the end is noticed."""
    monkeypatch.setattr(batch_process, "tensors_in", lambda batch: [])

    def fail(handle):
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr("multiprocessing.reduction.DupFd", fail)
    with pytest.raises(TlxError, match=r"expected batches from process .* exited unexpectedly"):
        list(data.train_dataloader())


def test_a_file_that_takes_too_long_ends_its_process(data, monkeypatch):
    """Guards against a run that waits for ever for a file that changed after it was checked."""
    monkeypatch.setattr(batch_process, "TIME", 0.5)
    monkeypatch.setattr(dataset_module, "read_pixels", lambda *args: time.sleep(60))
    with pytest.raises(TlxError, match="took longer than 0 seconds for a file"):
        list(data.train_dataloader())


def test_a_process_that_nobody_asks_for_a_batch_waits(data, monkeypatch):
    """Guards against the limit of a file that ends reading processes in a validation which takes longer than it."""
    monkeypatch.setattr(batch_process, "TIME", 1.0)
    loader = data.train_dataloader()
    assert len(list(loader)) == 4
    time.sleep(1.5)
    assert len(list(loader)) == 4


def test_a_process_that_ends_while_a_step_runs_ends_in_a_message(data, monkeypatch, tmp_path):
    """Guards against torch's traceback where no batch is waited for at that moment."""

    def step(self, trainer, *arguments):
        for worker in trainer.train_dataloader._iterator._workers:
            os.kill(worker.pid, signal.SIGKILL)
        time.sleep(10)  # torch's handler raises here

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", step)
    small = ["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.batch_size=4"]
    config = compose([*small, "dataset.num_workers=2", "strategy=full", "logger=none", f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(
        TlxError, match=r"^expected batches from process \d+.* killed by signal: Killed, perhaps for want"
    ):
        train(config)
    assert Run(tmp_path / "run").status["error"].startswith("expected batches from process")


def test_a_process_that_does_not_send_its_batch_is_named(data, monkeypatch, caplog):
    """Guards against a run that waits for a file on a network without a word of it."""
    monkeypatch.setattr(waiting, "FIRST", 0.2)
    monkeypatch.setattr(waiting, "_watched_by", None)  # a thread that looks as often
    monkeypatch.setattr(dataset_module, "read_pixels", _slowly(dataset_module.read_pixels))
    loader = data.train_dataloader()
    with caplog.at_level("INFO", logger="tlx"):
        assert len(list(loader)) == 4
    told = [record.getMessage() for record in caplog.records if "has not come" in record.getMessage()]
    assert told
    assert all(re.search(r"^waiting for \d+ seconds: a batch of process \d+, which reads images,", one) for one in told)
    assert {int(re.search(r"process (\d+)", one)[1]) for one in told} <= {w.pid for w in loader._iterator._workers}


def _slowly(read):
    def slow(*arguments, **more):
        time.sleep(0.1)
        return read(*arguments, **more)

    return slow


def test_signals_to_all_processes_of_a_run_do_not_end_those_that_read(data):
    """Guards against `timeout` and schedulers, which signal all processes: the run saves, and for that it reads on."""
    loader = data.train_dataloader()
    batches = iter(loader)
    _ = next(batches), next(batches)  # one of each: both have begun
    for worker in loader._iterator._workers:
        subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
        os.kill(worker.pid, signal.SIGINT)
    time.sleep(0.2)
    assert len(list(batches)) == 2
    assert len(list(loader)) == 4  # in the next epoch too
