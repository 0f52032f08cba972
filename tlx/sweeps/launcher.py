"""Launchers distribute the jobs of a sweep. All of them skip finished runs and run the others in the same way.

Hydra's own launcher plugins are not used. Those for joblib and submitit lose a sweep, or stop waiting for it, when one
of its processes dies. The one for Ray does not work with current versions of joblib. All of them start a process or a
cluster job even for a finished run.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from tlx.base import allowed
from tlx.base.errors import TlxError
from tlx.base.machine import JOBS
from tlx.config.compose import checked
from tlx.config.compositions import Compositions
from tlx.config.multirun import swept_values
from tlx.config.naming import identity_hash
from tlx.config.stored import as_config
from tlx.runs.run import Run
from tlx.strategies.monitor import monitored
from tlx.sweeps import gpus
from tlx.sweeps.job import Job, run, threads
from tlx.sweeps.records import ALREADY, Record, Records
from tlx.sweeps.stopping import SWEEP

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # tlx.sweeps.plugins defines what this name builds


class TlxLauncher(Launcher):
    """Composes and checks the jobs, skips finished runs, has `run_jobs` run the others, reports from their records.

    Attributes:
        at_once: Number of concurrent jobs on this machine.
        hands_out_gpus: Whether tlx assigns each job a GPU of this machine; False if a cluster assigns GPUs.
    """

    at_once = 1
    hands_out_gpus = True

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes in."""
        self.config = config
        self.records = Records(str(config.hydra.sweep.dir))
        self.compositions = Compositions(
            lambda overrides: hydra_context.config_loader.load_sweep_config(config, overrides),
            hydra_context.config_loader.get_group_options("", ObjectType.GROUP),
        )
        self.swept = [*self.records.about.get("swept", []), *(config.hydra.sweeper.get("params") or {})]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and wait for them; called by Hydra's sweepers."""
        return self.launch_jobs(
            [(initial_job_idx + i, list(overrides), {}) for i, overrides in enumerate(job_overrides)]
        )

    def launch_jobs(self, requests: Sequence[tuple[int, list[str], Mapping[str, str]]]) -> list[JobReturn]:
        """Run jobs and wait for them.

        Args:
            requests: The number, the overrides and the environment variables of each job.

        Returns:
            Hydra's results, in the same order.

        Raises:
            Interrupted: A signal ended the sweep; the jobs have saved.
            TlxError: A job has a configuration that is not possible in a multirun.
        """
        share = threads(self.at_once)
        if self.at_once > 1:
            share[JOBS] = str(self.at_once)
        if allowed.VARIABLE in os.environ:  # what the user allows here is allowed on other machines, too
            share[allowed.VARIABLE] = os.environ[allowed.VARIABLE]
        several = self.at_once > 1 and len(requests) > 1
        devices = gpus.visible(gpus.installed(), os.environ) if several and self.hands_out_gpus else {}
        jobs: list[Job] = []
        records: list[Record] = []
        runs: dict[str, str] = {}  # run directory -> identity of the configuration trained there
        for number, overrides, variables in requests:
            record, config = self._compose(number, overrides)
            identity = identity_hash(as_config(config)) if config else ""
            if record.state == "waiting" and runs.setdefault(record.run_dir, identity) != identity:
                message = f"run_dir: expected one for each job, got {record.run_dir} for several; leave it out"
                record = replace(record, run_dir="").end("failed", message)
            if record.state == "waiting" and record.run_dir not in {r.run_dir for r in records}:
                jobs.append(Job(record, str(self.records.directory), config, {**share, **variables}, devices))
            records.append(record)
        for record in records:
            self.records.write(record)
        self.run_jobs(jobs)
        own = {job.record.run_dir: job.record.number for job in jobs}
        for record in records:
            self._settle(record, own.get(record.run_dir, record.number))
        SWEEP.check()
        return [self._returned(number, overrides) for number, overrides, _ in requests]

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Run the jobs and wait for them; a job raises nothing and writes its record."""
        raise NotImplementedError

    def _compose(self, number: int, overrides: list[str]) -> tuple[Record, dict[str, Any]]:
        swept = swept_values(overrides, self.swept)
        config, mistakes = checked(self.compositions.compose(overrides))
        if config is None:  # values that are valid alone but not in combination
            return Record(number, swept, "").end("failed", "\n".join(map(str, mistakes))), {}
        if config.trainer.num_nodes > 1:
            raise TlxError(
                "trainer.num_nodes: expected 1 in a multirun, where a job is on one machine, got "
                f"{config.trainer.num_nodes}; several machines train one run at a time: torchrun or srun, without -m"
            )
        directory = Path(config.run_dir).expanduser()
        record = Record(number, swept, str(directory))
        try:
            if Run(directory).state_for(config) == "finished":
                record = record.end("finished", ALREADY)
            else:
                Run(directory).refuse_place()  # before the job's process opens job.log there
        except TlxError as error:  # a run_dir that the user chose, with the run of another configuration in it
            record = replace(record, run_dir="").end("failed", str(error))
        plain: Any = OmegaConf.to_container(config, resolve=True)
        return record, {**plain, "run_dir": str(directory)}

    def _settle(self, record: Record, number: int) -> None:
        """Write the final record of a job that did not write it: it shares another job's run, or lost its worker."""
        trained = self.records.read(number)
        if trained.state == "running" and SWEEP.number is not None:  # the launcher may have ended its worker at once
            _await(trained)
            trained = self.records.read(number)
        begun = trained.state == "running" or (trained.state == "waiting" and SWEEP.number is None)
        if begun and trained.run_dir and Run(trained.run_dir).finished:
            trained = trained.end("finished")
        elif begun and SWEEP.number is not None:
            trained = trained.end("interrupted", f"stopped by {SWEEP.number.name}")
        elif begun:
            trained = trained.end("killed", "the process or the machine that ran it was lost")
        self.records.write(replace(trained, number=record.number, swept=record.swept))

    def _returned(self, number: int, overrides: list[str]) -> JobReturn:
        """Return a job's result for Hydra; errors are reported to all sweepers except the grid, which continues."""
        record = self.records.read(number)
        returned = JobReturn(overrides=overrides, task_name="tlx", status=JobStatus.COMPLETED)
        if record.state == "finished":
            run = Run(record.run_dir)
            returned.return_value = run.metrics.get(monitored(run.config).name)
        elif self.config.hydra.sweeper._target_ != GRID:
            returned.status = JobStatus.FAILED
            returned.return_value = TlxError(f"{record.name}: {record.note}")
        return returned


class BasicLauncher(TlxLauncher):
    """Runs one job after another."""

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Run the jobs one after another."""
        for job in jobs:
            run(job, SWEEP)


def _await(record: Record, seconds: float = 60.0) -> None:
    """Give a job's training process time to save, if it runs on this machine."""
    until = time.monotonic() + seconds
    stat = Path(f"/proc/{record.pid}/stat")
    while record.host == socket.gethostname() and time.monotonic() < until:
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.1)


def jobs_at_once(value: int | str, key: str) -> int:
    """Return how many jobs run at once on this machine.

    `auto` is one per GPU; without GPUs half of the cores, at least 2.

    Raises:
        TlxError: The value is neither `auto` nor a number of at least 1.
    """
    if value == "auto":
        return len(gpus.visible(gpus.installed(), os.environ)) or max(2, len(os.sched_getaffinity(0)) // 2)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TlxError(f"hydra.launcher.{key}: expected auto or a number of at least 1, got '{value}'")
    return value
