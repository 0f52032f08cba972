"""Open the loggers of a run once; each continues where a resumed run continues."""

from __future__ import annotations

import csv
import hashlib
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger

from tlx.base.errors import TlxError
from tlx.base.ranks import is_first
from tlx.building.loggers import LOCAL, REMOTE, TENSORBOARD, logger_nodes
from tlx.building.nodes import build_node
from tlx.measures.sections import Plain
from tlx.records.directory import RunDirectory
from tlx.training.epoch_curves import forget_epochs
from tlx.training.run_logger import RunLogger, brief

Node = Mapping[str, Any]
_TAG = "tlx.run"  # MLflow tag with the run of tlx
_PAUSE = 0.5  # seconds before a second attempt: jobs of a sweep may create the same experiment at the same time


def open_loggers(
    config: DictConfig, values: Mapping[str, Plain], step: int | None = None, epoch: int | None = None
) -> list[RunLogger]:
    """Return the loggers of the logger node, in its order; in processes that do not write, they are empty.

    Args:
        config: The configuration.
        values: The run's hyper-parameters, from `tlx.config.hyperparameters`.
        step: The next step of a resumed run; entries from this step on are discarded.
        epoch: Its next epoch, from 0; points of curves over epochs are discarded from there on. None: it trains none.

    Raises:
        TlxError: A logger cannot start.
    """
    plain: Any = OmegaConf.to_container(config.logger, resolve=True)
    nodes = logger_nodes(plain)
    if not is_first():
        return [RunLogger(None, key) for key in nodes]
    run = RunDirectory(config.run_dir)
    opened: list[RunLogger] = []
    try:
        for key, node in nodes.items():
            if epoch is not None and node["_target_"] == TENSORBOARD:
                forget_epochs(run.directory, epoch)
            opened.append(_opened(key, node, run, values, step))
    except BaseException:
        for logger in opened:
            logger.close("failed")
        raise
    return opened


def _opened(key: str, node: Node, run: RunDirectory, values: Mapping[str, Plain], step: int | None) -> RunLogger:
    target = str(node["_target_"])
    inner = _local(key, node, run, step) if target in LOCAL else _remote(key, node, run)
    logger = RunLogger(inner, key, sends=target not in LOCAL)
    if target != TENSORBOARD:  # there, the review writes them
        logger.log_hyperparams(dict(values))
    return logger


def _local(key: str, node: Node, run: RunDirectory, step: int | None) -> Logger:
    """Return a logger that writes into the run directory; its files are registered before they are written."""
    if node["_target_"] == TENSORBOARD:
        return _tensorboard(key, node, run, step)
    logger: CSVLogger = build_node(node, key)
    run.files.add_events(logger.log_dir)
    rows = _rows_before(Path(logger.log_dir) / "metrics.csv", step)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory")  # its rows are written again
        logger.experiment.metrics = rows
    logger.save()
    return logger


def _tensorboard(key: str, node: Node, run: RunDirectory, step: int | None) -> Logger:
    _wait_for_a_later_name(run.directory)
    logger: Logger = build_node(node, key, **({} if step is None else {"purge_step": step}))
    run.files.add_events(logger.log_dir or run.directory)
    return logger


def _wait_for_a_later_name(directory: Path) -> None:
    """Wait less than a second if the name of the next events file could sort before that of the last one.

    TensorBoard reads the files in the order of their names, `events.out.tfevents.SECOND.HOST.PROCESS.COUNT`, where 10
    sorts before 9 in the same second. The last file would then purge the next one.
    """
    while any(path.name.endswith("9") for path in directory.glob(f"events.out.tfevents.{int(time.time())}.*")):
        time.sleep(0.05)


def _rows_before(path: Path, step: int | None) -> list[dict[str, Any]]:
    """Return the rows of a CSV logger's file before a step, without empty cells."""
    if step is None or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key and value} for row in csv.DictReader(file)]
    return [
        {**row, "step": int(row["step"])} for row in rows if row.get("step", "").isdecimal() and int(row["step"]) < step
    ]


def _remote(key: str, node: Node, run: RunDirectory) -> Logger:
    """Return a logger that may send data to a server, with its own run started or resumed.

    Raises:
        TlxError: Two attempts to start it failed; the message says what to do.
    """
    target = str(node["_target_"])
    arguments = _ARGUMENTS.get(target, lambda node, run: {})
    try:
        return _started(key, node, arguments, run)
    except TlxError:
        raise
    except Exception:
        time.sleep(_PAUSE)
    try:
        return _started(key, node, arguments, run)
    except Exception as error:
        advice = REMOTE[target].advice if target in REMOTE else "or type: logger=none"
        raise TlxError(f"{key}: expected a logger that can start, got {brief(error)}; {advice}") from error


def _started(
    key: str, node: Node, arguments: Callable[[Node, RunDirectory], dict[str, Any]], run: RunDirectory
) -> Logger:
    logger: Logger = build_node(node, key, **arguments(node, run))
    _ = getattr(logger, "experiment", None)  # created on first access
    return logger


def run_identity(run: RunDirectory) -> str:
    """Return the id of a run for loggers on a server: the same when the run resumes, a new one after force=true."""
    first = run.environment[0] if run.environment else {}
    origin = [os.path.realpath(run.directory), first.get("host"), first.get("time")]
    return hashlib.sha256(repr(origin).encode()).hexdigest()[:16]


def _of_wandb(node: Node, run: RunDirectory) -> dict[str, Any]:
    return {} if node.get("version") else {"version": run_identity(run)}


def _of_mlflow(node: Node, run: RunDirectory) -> dict[str, Any]:
    """Return the store and, if this run has already started one, its MLflow run."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = node.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:  # a file store, which MLflow 3 must be told to allow
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = Path(node.get("save_dir") or "mlruns").expanduser().absolute().as_uri()

    from mlflow.tracking import MlflowClient

    if node.get("run_id"):
        return {"tracking_uri": uri}
    identity = run_identity(run)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(node.get("experiment_name", "lightning_logs"))
    found = (
        [] if experiment is None else client.search_runs([experiment.experiment_id], f"tags.`{_TAG}` = '{identity}'")
    )
    if not found:
        return {"tracking_uri": uri, "tags": {**(node.get("tags") or {}), _TAG: identity}}
    client.update_run(found[0].info.run_id, status="RUNNING")
    return {"tracking_uri": uri, "run_id": found[0].info.run_id}


# Arguments in addition to the keys of a node.
_ARGUMENTS: dict[str, Callable[[Node, RunDirectory], dict[str, Any]]] = {
    "pytorch_lightning.loggers.WandbLogger": _of_wandb,
    "pytorch_lightning.loggers.MLFlowLogger": _of_mlflow,
}
