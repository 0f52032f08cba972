"""Open the loggers of a run, once; let each go on where the run goes on."""

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
from tlx.training.run_logger import RunLogger, brief

Node = Mapping[str, Any]
_TAG = "tlx.run"  # of MLflow's runs: which run of tlx they belong to
_PAUSE = 0.5  # seconds before a second attempt: jobs of a sweep may make one and the same experiment at once


def open_loggers(config: DictConfig, values: Mapping[str, Plain], step: int | None = None) -> list[RunLogger]:
    """Return the loggers that the logger node names, in its order; those of processes that do not write are empty.

    Args:
        config: The configuration.
        values: What decides the result of the run, from `tlx.config.hyperparameters`.
        step: The step that a resumed run takes next; what was logged of it and of later ones does not count.

    Raises:
        TlxError: A logger cannot begin.
    """
    plain: Any = OmegaConf.to_container(config.logger, resolve=True)
    nodes = logger_nodes(plain)
    if not is_first():
        return [RunLogger(None, place) for place in nodes]
    run = RunDirectory(config.run_dir)
    opened: list[RunLogger] = []
    try:
        for place, node in nodes.items():
            opened.append(_opened(place, node, run, values, step))
    except BaseException:
        for logger in opened:
            logger.close("failed")
        raise
    return opened


def _opened(place: str, node: Node, run: RunDirectory, values: Mapping[str, Plain], step: int | None) -> RunLogger:
    target = str(node["_target_"])
    inner = _local(place, node, run, step) if target in LOCAL else _remote(place, node, run)
    logger = RunLogger(inner, place, sends=target not in LOCAL)
    if target != TENSORBOARD:  # in which the review makes a row of them
        logger.log_hyperparams(dict(values))
    return logger


def _local(place: str, node: Node, run: RunDirectory, step: int | None) -> Logger:
    """Return a logger that writes into the run directory; its files are noted before they are written."""
    if node["_target_"] == TENSORBOARD:
        return _tensorboard(place, node, run, step)
    logger: CSVLogger = build_node(node, place)
    run.files.add_events(logger.log_dir)
    rows = _rows_before(Path(logger.log_dir) / "metrics.csv", step)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory")  # whose rows are written again
        logger.experiment.metrics = rows
    logger.save()
    return logger


def _tensorboard(place: str, node: Node, run: RunDirectory, step: int | None) -> Logger:
    _wait_for_a_later_name(run.directory)
    logger: Logger = build_node(node, place, **({} if step is None else {"purge_step": step}))
    run.files.add_events(logger.log_dir or run.directory)
    return logger


def _wait_for_a_later_name(directory: Path) -> None:
    """Wait, for less than a second, where the next events file would be read before the last one and be purged by it.

    TensorBoard reads them in the order of their names, `events.out.tfevents.SECOND.HOST.PROCESS.COUNT`: in one and the
    same second, 10 comes before 9.
    """
    while any(path.name.endswith("9") for path in directory.glob(f"events.out.tfevents.{int(time.time())}.*")):
        time.sleep(0.05)


def _rows_before(path: Path, step: int | None) -> list[dict[str, Any]]:
    """Return the rows of a CSV logger's file from before a step, without their empty cells."""
    if step is None or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key and value} for row in csv.DictReader(file)]
    return [
        {**row, "step": int(row["step"])} for row in rows if row.get("step", "").isdecimal() and int(row["step"]) < step
    ]


def _remote(place: str, node: Node, run: RunDirectory) -> Logger:
    """Return a logger that may send figures away, its own run begun or taken up again.

    Raises:
        TlxError: It cannot begin, twice; it says what to do.
    """
    target = str(node["_target_"])
    arguments = _ARGUMENTS.get(target, lambda node, run: {})
    try:
        return _begun(place, node, arguments, run)
    except TlxError:
        raise
    except Exception:
        time.sleep(_PAUSE)
    try:
        return _begun(place, node, arguments, run)
    except Exception as error:
        advice = REMOTE[target].advice if target in REMOTE else "or type: logger=none"
        raise TlxError(f"{place}: expected a logger that can begin, got {brief(error)}; {advice}") from error


def _begun(
    place: str, node: Node, arguments: Callable[[Node, RunDirectory], dict[str, Any]], run: RunDirectory
) -> Logger:
    logger: Logger = build_node(node, place, **arguments(node, run))
    _ = getattr(logger, "experiment", None)  # made when it is first asked for
    return logger


def run_identity(run: RunDirectory) -> str:
    """Return what a logger elsewhere knows a run by: the same after each start, another one after force=true."""
    first = run.environment[0] if run.environment else {}
    told = [os.path.realpath(run.directory), first.get("host"), first.get("time")]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _of_wandb(node: Node, run: RunDirectory) -> dict[str, Any]:
    return {} if node.get("version") else {"version": run_identity(run)}


def _of_mlflow(node: Node, run: RunDirectory) -> dict[str, Any]:
    """Name the store, and the run in it that this run began before."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = node.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:  # files, which MLflow 3 takes where it is told to
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


# What is handed over beside the keys of a node.
_ARGUMENTS: dict[str, Callable[[Node, RunDirectory], dict[str, Any]]] = {
    "pytorch_lightning.loggers.WandbLogger": _of_wandb,
    "pytorch_lightning.loggers.MLFlowLogger": _of_mlflow,
}
