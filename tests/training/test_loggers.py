"""The loggers of a run: made once, open until the run ends, and no reason for it to end."""

from __future__ import annotations

import csv
import os
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tlx
from tlx import Run
from tlx.base.errors import TlxError
from tlx.config import compose
from tlx.review.sinks.loggers import LoggerSink
from tlx.training import loggers as module
from tlx.training.loggers import open_loggers, run_identity
from tlx.training.run_logger import RunLogger

TINY = (
    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "trainer=debug",
    "strategy=linear_probe", "trainer.log_every_n_steps=1",
)  # fmt: skip


class Inner:
    """Stands for a logger of Lightning's; it fails at its calls of some numbers."""

    save_dir = log_dir = None

    def __init__(self, *failing: int) -> None:
        self.failing, self.calls, self.finished = failing, [], []
        self.experiment = SimpleNamespace(finish=lambda exit_code: self.finished.append(exit_code))

    def _called(self, *what: object) -> None:
        self.calls.append(what)
        if len(self.calls) in self.failing:
            raise ConnectionError("no\nserver")

    def log_metrics(self, metrics, step):
        self._called(metrics, step)

    def log_image(self, key, images, step):
        self._called(key, images, step)

    def save(self):
        self._called("save")

    def finalize(self, status):
        self._called("finalize", status)


def test_a_server_that_cannot_be_reached_ends_no_run(caplog):
    """Guards against hours of training that are lost to a server, and minutes that each step waits for it."""
    inner = Inner(2, 4, 5)
    logger = RunLogger(inner, "logger.mlflow", sends=True)
    for step in range(8):
        logger.log_metrics({"x": 1.0}, step)
    assert len(inner.calls) == 5  # a single failure is ignored, two in a row end its use
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "logger.mlflow: expected to log metrics, got ConnectionError: no server"
    assert told[2].endswith("it is not used any more, the run continues")
    logger.close("success")


def test_a_logger_of_the_run_directory_is_part_of_the_run():
    """Guards against curves with a gap that nobody is told of."""
    with pytest.raises(ConnectionError):
        RunLogger(Inner(1), "logger").log_metrics({"x": 1.0}, 0)


def test_a_logger_stays_open_for_the_review_and_ends_once():
    """Guards against figures of a test in a second run of the logger, and a run that is never marked as ended."""
    inner = Inner()
    logger = RunLogger(inner, "logger.wandb", sends=True)
    logger.finalize("success")  # as a Trainer does
    LoggerSink(logger, 7).write_picture("wrong", np.zeros((2, 2, 3), np.uint8))
    logger.close("success")
    logger.close("failed")
    assert [call[0] for call in inner.calls] == ["save", "review/wrong", "finalize"]
    assert inner.finished == [0]
    failed = Inner()
    RunLogger(failed, "logger").finalize("failed")
    assert failed.finished == [1]


def test_only_the_first_of_several_processes_logs(tmp_path, monkeypatch):
    """Guards against two processes that write one file, or make two runs of one."""
    monkeypatch.setenv("RANK", "1")
    config = compose([*TINY, "logger=[tensorboard,csv]", f"run_dir={tmp_path / 'run'}"])
    found = open_loggers(config, {})
    assert len(found) == 2  # as many as there are, so that all processes take the same way
    for logger in found:
        logger.log_metrics({"x": 1.0}, 0)
        logger.close("success")
        assert logger.experiment is None
    assert not (tmp_path / "run").exists()


def test_rows_of_a_csv_file_are_neither_lost_nor_doubled_when_a_run_goes_on(tmp_path):
    """Guards against Lightning's CSVLogger, which removes the file that is there."""
    config = compose([*TINY, "logger=csv", f"run_dir={tmp_path / 'run'}"])
    run = Run(tmp_path / "run")
    run.begin(config)
    for begins, ends in ((None, 5), (3, 6)):
        (logger,) = open_loggers(config, {"seed": 0}, begins)
        for step in range(begins or 0, ends):
            logger.log_metrics({"x": float(step), **({"y": 1.0} if step > 3 else {})}, step)
        logger.close("success")
    with (run.directory / "csv" / "metrics.csv").open(newline="") as file:
        assert [(row["step"], row["x"], row["y"]) for row in csv.DictReader(file)] == [
            (str(step), f"{step}.0", "1.0" if step > 3 else "") for step in range(6)
        ]
    assert {"csv/metrics.csv", "csv/hparams.yaml"} <= run.files.names


def test_a_logger_that_cannot_begin_is_told_with_what_to_do(tmp_path, monkeypatch, loggers_installed):
    """Guards against a traceback of a library, and against a run that trains for hours and logs nothing."""
    attempts = []
    monkeypatch.setattr(module, "_PAUSE", 0)
    monkeypatch.setattr(module, "_started", lambda *a: attempts.append(a) or 1 / 0)
    config = compose([*TINY, "logger=wandb", f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(TlxError, match=r"logger: expected a logger that can start, got Zero.*wandb login.*logger=none"):
        open_loggers(config, {})
    assert len(attempts) == 2


@pytest.mark.run
def test_a_run_logs_all_of_it_to_one_object_of_each(tmp_path):
    """Guards against figures of the test that a second logger writes elsewhere."""
    run = tlx.train(compose([*TINY, "logger=[tensorboard,csv]", f"run_dir={tmp_path / 'run'}"]))
    assert len(list(run.directory.glob("events.out.tfevents.*"))) == 1
    with (run.directory / "csv" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train/loss"]) for row in rows if row["train/loss"]]
    (tested,) = [row for row in rows if row["test/accuracy"]]
    assert float(tested["test/accuracy"]) == pytest.approx(run.metrics["test/accuracy"])
    assert int(tested["step"]) == run.metrics["train/steps"]
    written = {str(path.relative_to(run.directory)) for path in run.directory.rglob("*") if path.is_file()}
    assert written - {".lock", "files.json", "tlx.log"} <= run.files.names  # force=true removes all of it


@pytest.mark.run
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed: pip install 'tlx[wandb]'")
def test_weights_and_biases_offline(tmp_path, monkeypatch):
    """Guards against curves, pictures or a configuration that do not arrive, and a process that stays."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("TLX_ALLOW_TARGETS", "")
    run = tlx.train(compose([*TINY, "logger=wandb", f"run_dir={tmp_path / 'run'}"]))
    assert wandb.run is None  # or the next run of this process would log to the same one
    (folder,) = (run.directory / "wandb").glob("offline-run-*")
    assert folder.name.endswith(run_identity(run))
    pictures = {path.name.rpartition("_")[0].rpartition("_")[0] for path in folder.rglob("*.png")}
    assert pictures == {path.stem for path in (run.directory / "review").glob("*.png")}
    logged = b"".join(path.read_bytes() for path in folder.glob("*.wandb"))
    for name in (b"train/loss", b"test/accuracy", b"lr/head", b"optimizer.lr", run.config.run_name.encode()):
        assert name in logged


@pytest.mark.run
@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed: pip install 'tlx[mlflow]'")
def test_mlflow_in_files(tmp_path, monkeypatch):
    """Guards against figures, pictures or a configuration that do not arrive, and a run that goes on as another one."""
    for name in ("TLX_ALLOW_TARGETS", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    config = compose([*TINY, "logger=mlflow", f"run_dir={tmp_path / 'run'}", f"output_dir={tmp_path / 'a %20b'}"])
    run = tlx.train(config)
    from mlflow.tracking import MlflowClient

    client = MlflowClient((tmp_path / "a %20b" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("tlx").experiment_id
    (found,) = client.search_runs([experiment])
    assert (found.info.status, found.data.tags["mlflow.runName"]) == ("FINISHED", run.config.run_name)
    assert found.data.metrics["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    assert len(client.get_metric_history(found.info.run_id, "train/loss")) == run.metrics["train/epochs"]
    assert float(found.data.params["optimizer.lr"]) == config.optimizer.lr
    pictures = {Path(one.path).name for one in client.list_artifacts(found.info.run_id, "review")}
    assert pictures == {path.name for path in (run.directory / "review").glob("*.png")}
    (again,) = open_loggers(config, {}, 3)
    again.log_metrics({"x": 1.0}, 3)
    again.close("failed")
    (found,) = client.search_runs([experiment])
    assert (found.info.status, found.data.metrics["x"]) == ("FAILED", 1.0)
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
