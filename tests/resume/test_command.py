"""Stopping and going on as a person does it: signals to the real command, `resume=RUN`, a full disk, a loss of NaN."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import tlx
import tlx.callbacks.checkpoints
import tlx.callbacks.stages
import tlx.train
from tlx import Run, TlxError
from tlx.base.errors import Diverged, Interrupted
from tlx.base.files import locked
from tlx.callbacks.checkpoint_reading import progress
from tlx.runs.resume import resumed

TINY = [
    "backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.channels=1", "dataset.num_workers=0",
    "dataset.labels_per_class=20", "strategy=gradual", "logger=none",
    *(f"strategy.stages.{i}.patience=null" for i in range(3)), *(f"strategy.stages.{i}.epochs=10" for i in range(3)),
]  # fmt: skip


def command(directory: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "tlx", *arguments], cwd=directory, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def until(condition, process: subprocess.Popen[str], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def epochs_of(run: Run) -> int:
    path = run.directory / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.is_file() else 0


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run that was stopped after its second epoch, and its overrides."""
    overrides = [*TINY, "trainer.stage_epochs=2", f"run_dir={tmp_path / 'run'}"]
    config = tlx.compose(overrides)
    with monkeypatch.context() as patch:
        stop_after(patch, epochs=2)
        with pytest.raises(Interrupted):
            tlx.train(config)
    return Run(tmp_path / "run"), overrides


def stop_after(patch, epochs):
    """Send this process a SIGTERM when an epoch begins."""
    enter = tlx.callbacks.stages.Stages.on_train_epoch_start

    def entering(self, trainer, module):
        enter(self, trainer, module)
        if trainer.current_epoch == epochs:
            os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(tlx.callbacks.stages.Stages, "on_train_epoch_start", entering)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_commands")
def test_the_command_stops_in_order_and_resume_goes_on(tmp_path):
    """Guards against a handler that works in tests only: the real command, stopped by each signal, killed, moved."""
    run = Run(tmp_path / "outputs" / "one")
    arguments = [*TINY, "run_name=one"]
    process = command(tmp_path, "train", *arguments)
    until(lambda: epochs_of(run) >= 2, process)
    status = run.status
    assert (status["state"], status["pid"]) == ("running", process.pid)
    assert not run.killed
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 143, told
    assert "stopped by SIGTERM; to resume, repeat the command" in told
    assert "Traceback" not in told
    assert run.status["state"] == "interrupted"

    process = command(tmp_path, "train", "resume=outputs/one")
    before = epochs_of(run)
    until(lambda: epochs_of(run) >= before + 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 130, told
    assert f"resuming after epoch {before}" in told

    process = command(tmp_path, "train", *arguments)  # the same command again
    before = epochs_of(run)
    until(lambda: epochs_of(run) >= before + 1, process)
    process.kill()
    process.wait()
    assert run.status["state"] == "running"
    assert run.killed

    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(run.directory, tmp_path / "elsewhere" / "moved")
    process = command(tmp_path / "elsewhere", "train", "resume=moved")
    told = process.communicate(timeout=120)[0]
    assert process.returncode == 0, told
    assert Run(moved).finished
    assert Run(moved).metrics["train/epochs"] == 30
    starts = Run(moved).environment
    assert [start["command"].split(" -m tlx ")[1].split()[:2][-1] for start in starts] == [
        TINY[0], "resume=outputs/one", TINY[0], "resume=moved",
    ]  # fmt: skip


@pytest.mark.nightly  # the suite stops one process of two in tests/endings
@pytest.mark.usefixtures("forked_commands")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_of_one_run_stop_together_and_go_on(tmp_path, strategy):
    """Guards against workers that train on beside the next start, against a status that blames the command, against an
    epoch whose beginning counts twice or not at all, and against shards of weights and optimizer that are not put back,
    nor the best weights of the stage before."""
    more = ["trainer.devices=2", "trainer.accelerator=cpu", f"trainer.strategy={strategy}"]
    arguments = [*TINY, *more, "strategy.stages.2.start_from=best"]
    shorter = {"epochs=10": "epochs=2", "labels_per_class=20": "labels_per_class=48"}
    for long, short in shorter.items():
        arguments = [text.replace(long, short) for text in arguments]
    arguments.append("dataset.batch_size=16")  # 15 steps an epoch
    run, undisturbed = Run(tmp_path / "outputs" / "two"), Run(tmp_path / "outputs" / "undisturbed")
    for attempt in range(1, 6):
        before = epochs_of(run)
        process = command(tmp_path, "train", *arguments, "run_name=two")
        until(lambda before=before: epochs_of(run) > before, process)
        time.sleep(0.08 * attempt)  # the end of an epoch takes a while, too
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=120)[0]
        assert process.returncode == 143, told
        assert run.status["state"] == "interrupted"
        if progress(run.checkpoints / "last.ckpt")["global_step"] % 15:
            break
    else:
        pytest.fail("it was never stopped within an epoch")
    before = epochs_of(run)
    time.sleep(1)
    assert epochs_of(run) == before
    for name in ("two", "undisturbed"):
        process = command(tmp_path, "train", *arguments, f"run_name={name}")
        told = process.communicate(timeout=180)[0]
        assert process.returncode == 0, told
        assert ("resuming after" in told) == (name == "two")
    for name in ("best.ckpt", "last.ckpt"):
        mine, theirs = (torch.load(r.checkpoints / name, weights_only=True)["state_dict"] for r in (run, undisturbed))
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs), name
    assert (run.directory / "metrics.csv").read_text() == (undisturbed.directory / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_commands")
def test_a_full_disk_ends_in_a_message_and_room_lets_it_go_on(tmp_path):
    """Guards against half a checkpoint in the place of the last good one. The disk is a small one in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a file system in memory")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(4 * 2**20 - 500_000))
        arguments = [*TINY, "backbone.width=8", "trainer.stage_epochs=2", f"run_dir={disk / 'run'}"]
        run = Run(disk / "run")
        process = command(tmp_path, "train", *arguments)
        told = process.communicate(timeout=120)[0]
        assert process.returncode == 2, told
        assert "No space left on device" in told
        assert "the run resumes from its last checkpoint" in told
        assert not list(run.checkpoints.glob("*.tmp"))
        done = progress(run.checkpoints / "last.ckpt")["epochs"]
        assert done == 1
        ballast.unlink()
        process = command(tmp_path, "train", f"resume={disk / 'run'}")
        told = process.communicate(timeout=120)[0]
        assert process.returncode == 0, told
        assert "resuming after epoch 1" in told
        assert run.finished
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    """Guards against hours of NaN, against a message that does not say where it began, and against a checkpoint with
    spoilt weights in the place of the last good one."""
    overrides = [*TINY, "trainer.stage_epochs=2", "optimizer=sgd", f"run_dir={tmp_path / 'run'}"]
    rates = ["optimizer.lr=1e-2", "strategy.stages.1.lr_scale=1e6", "strategy.stages.1.warmup=0"]
    with pytest.raises(Diverged) as caught:
        tlx.train(tlx.compose([*overrides, *rates]))
    told = str(caught.value)
    assert "train/loss: expected a number, got NaN or infinity in step" in told
    assert "epoch 2, stage conv" in told
    assert "stage2" in told.split("rates: ")[1].split(";")[0]
    assert "head" in told.split("no longer finite in: ")[1].split(";")[0]
    assert "the checkpoint of epoch 1 is kept" in told
    run = Run(tmp_path / "run")
    assert run.status["state"] == "failed"
    assert "Diverged" in run.status["traceback"]
    held = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in held["state_dict"].values())
    assert progress(run.checkpoints / "last.ckpt")["epochs"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("rates", [["optimizer.lr=1000"], ["optimizer.lr=1", "strategy.stages.0.lr_scale=1e4"]])
def test_a_rate_that_diverges_at_once_is_told_with_one_that_does_not(rates, tmp_path):
    """Guards against advice that diverges as well: a tenth of a rate that is a thousand times too high."""
    common = [*(word for word in TINY if "strategy" not in word), "trainer.stage_epochs=1", "strategy=full"]
    with pytest.raises(Diverged, match=r"no epoch was completed. Of the lower rates tried") as caught:
        tlx.train(tlx.compose([*common, "optimizer=sgd", *rates, f"run_dir={tmp_path / 'run'}"]))
    advice = re.search(r"optimizer\.lr=(\S+) is the largest that did not$", str(caught.value))[0].split()[0]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # a job of a sweep hands it on
    assert tlx.train(
        tlx.compose([*common, "optimizer=sgd", *rates[1:], advice, f"run_dir={tmp_path / 'again'}"])
    ).finished


def test_a_monitored_value_that_is_no_number_stops_the_run(tmp_path, monkeypatch):
    """Guards against a best checkpoint that is never written because nothing is better than NaN."""
    monkeypatch.setattr(tlx.callbacks.checkpoints.Checkpoints, "sign", float("nan"), raising=False)
    init = tlx.callbacks.checkpoints.Checkpoints.__init__

    def spoilt(self, *arguments):
        init(self, *arguments)
        self.sign = float("nan")

    monkeypatch.setattr(tlx.callbacks.checkpoints.Checkpoints, "__init__", spoilt)
    with pytest.raises(Diverged, match=r"val/loss: expected a number, got nan \(epoch 0, stage dense\)"):
        tlx.train(tlx.compose([*TINY, "trainer.stage_epochs=1", f"run_dir={tmp_path / 'run'}"]))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_a_forced_one_begins_anew(interrupted):
    """Guards against a same command that trains again what is there, and against a force that only goes on."""
    run, overrides = interrupted
    assert run.status["state"] == "interrupted"
    assert run.status["reason"] == "stopped by SIGTERM"
    assert progress(run.checkpoints / "last.ckpt")["epochs"] == 2
    first = tlx.train(tlx.compose(overrides))
    assert "resuming after epoch 2" in (run.directory / "tlx.log").read_text()
    assert len(first.environment) == 2
    weights = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    again = tlx.train(tlx.compose([*overrides, "force=true"]))
    assert len(again.environment) == 1
    anew = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(weights[key], anew[key]) for key in weights)


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_images(interrupted, monkeypatch):
    """Guards against weights of two data sets in one run."""
    _, overrides = interrupted
    monkeypatch.setattr("tlx.data.datamodule.ImageDataModule.fingerprint", lambda self: "another set")
    with pytest.raises(TlxError, match=r"dataset: expected the images that the run began with"):
        tlx.train(tlx.compose(overrides))


def test_resume_takes_only_what_changes_no_result(interrupted, tmp_path):
    """Guards against a run that ends with another configuration than its name and its table say."""
    run, _ = interrupted
    assert resumed(run.directory, ["dataset.num_workers=2"]).dataset.num_workers == 2
    with pytest.raises(TlxError, match=r"configuration that the run began with, got optimizer\.lr=1"):
        resumed(run.directory, ["optimizer.lr=1"])
    with pytest.raises(TlxError, match=r"may change: backbone\.path, .*dataset\.num_workers"):
        resumed(run.directory, ["dataset.num_worker=1"])
    with pytest.raises(TlxError, match=rf"did you mean '{run.directory}'"):
        resumed(run.directory.with_name("rum"))


def test_a_directory_of_another_configuration_is_refused(interrupted):
    """Guards against a finished or half-finished run of other settings that passes for this one."""
    _, overrides = interrupted
    with pytest.raises(TlxError, match=r"of another \(optimizer\.lr: 0\.001 there, 0\.5 here\)"):
        tlx.train(tlx.compose([*overrides, "optimizer.lr=0.5"]))


def test_a_second_process_waits_for_the_first(tmp_path, capfd):
    """Guards against two trainings in one directory."""
    run = Run(tmp_path / "run")
    path = run.directory / ".lock"
    order = []

    def second() -> None:
        with run.lock():
            order.append("second")

    with locked(path, waiting=pytest.fail):
        run.write_status("running")
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert f"waiting for process {os.getpid()} on" in capfd.readouterr().out


def test_the_environment_is_kept(interrupted):
    """Guards against a run of which nobody knows later what made it."""
    run, _ = interrupted
    (start,) = json.loads((run.directory / "environment.json").read_text())
    assert start["versions"]["torch"] == torch.__version__.split("+")[0]
    assert start["command"] == shlex.join(sys.orig_argv)
    assert start["directory"] == os.getcwd()
    assert len(start["git"] or "0" * 40) >= 40
    assert start["devices"]
