"""One job of a sweep, as every launcher runs it, on whichever machine: a record, a GPU, a process that trains."""

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
    """What a launcher hands to a worker: plain values only.

    Args:
        record: As it stands before.
        sweep: The sweep's directory.
        config: The configuration, resolved.
        variables: Environment variables of the process that trains, beside those of the worker.
        gpus: GPUs to take one of, from `gpus.visible`; none where nothing is to be handed out.
    """

    record: Record
    sweep: str
    config: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)
    gpus: Mapping[str, str] = field(default_factory=dict)


def run(job: Job, stop: Stop) -> None:
    """Train a job in a process of its own and write how it ended; raises nothing.

    Args:
        job: The job.
        stop: Where it says so, the job saves and ends; one that has not begun stays as it is.
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
    except Exception as error:  # no memory for a process, no disk for the record
        record = record.end("failed", f"{type(error).__name__}: {error}")
    for attempt in range(5):
        try:
            records.write(record)
            return
        except OSError:
            time.sleep(attempt)


def threads(at_once: int, cores: int | None = None) -> dict[str, str]:
    """Return the variables that share out the cores of a machine among jobs at once; what the user set stays.

    Args:
        at_once: Jobs at once on this machine.
        cores: Of the machine; None: those that this process may use.
    """
    if at_once < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    cores = cores or len(os.sched_getaffinity(0))
    return {"OMP_NUM_THREADS": str(max(1, cores // at_once))}


def _on(config: Mapping[str, Any], devices: int) -> Mapping[str, Any]:
    """The configuration with as many devices as the job was given; devices are no part of what a run is."""
    return {**config, "trainer": {**config["trainer"], "devices": devices}} if devices else config
