"""Run one job of a sweep, the same way for every launcher and machine: a record, a GPU, a training process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tlx.sweeps import gpus
from tlx.sweeps.child import Child
from tlx.sweeps.records import Record, Records
from tlx.sweeps.stopping import Stop


@dataclass(frozen=True)
class Job:
    """A job as a launcher passes it to a worker: plain values only.

    Args:
        record: Its record before it starts.
        sweep: The sweep's directory.
        config: The resolved configuration.
        variables: Environment variables of the training process in addition to those of the worker.
        gpus: GPUs that the job may take, from `gpus.visible`; empty if jobs are not assigned GPUs.
    """

    record: Record
    sweep: str
    config: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)
    gpus: Mapping[str, str] = field(default_factory=dict)


def run(job: Job, stop: Stop) -> None:
    """Train a job in its own process and record how it ended; raises nothing.

    Args:
        job: The job.
        stop: The request to stop: the job saves and ends; a job that has not begun is left unchanged.
    """
    if stop.number is not None:
        return
    records = Records(job.sweep)
    trainer = job.config["trainer"]
    count = gpus.wanted(trainer["devices"], trainer["accelerator"]) if job.gpus else 0
    record = job.record
    try:
        with gpus.lease(job.gpus, count, lambda: stop.number is not None) as devices:
            if stop.number is not None:
                return
            environment = {**os.environ, **job.variables}
            if devices:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
            child = Child(_on(job.config, len(devices)), environment)
            record = record.begin(child.pid)
            records.write(record)
            record = record.end(*child.wait(stop))
    except Exception as error:  # such as no memory for a process, or no disk space for the record
        record = record.end("failed", f"{type(error).__name__}: {error}")
    for attempt in range(5):
        try:
            records.write(record)
            return
        except OSError:
            time.sleep(attempt)


def threads(at_once: int, cores: int | None = None) -> dict[str, str]:
    """Return the environment variables that divide the cores among concurrent jobs; none if the user set them.

    Args:
        at_once: Number of concurrent jobs on this machine.
        cores: Number of cores; None: those that this process may use.
    """
    if at_once < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    cores = cores or len(os.sched_getaffinity(0))
    return {"OMP_NUM_THREADS": str(max(1, cores // at_once))}


def _on(config: Mapping[str, Any], devices: int) -> Mapping[str, Any]:
    """Return the configuration with the job's number of devices; devices are not part of a run's identity."""
    return {**config, "trainer": {**config["trainer"], "devices": devices}} if devices else config
