"""Run jobs with Ray, on this machine or on a cluster whose machines share the file system of the runs."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any

from tlx.base import children
from tlx.base.compat.ray import job_config
from tlx.base.errors import TlxError
from tlx.sweeps import gpus, ray_agents
from tlx.sweeps.job import Job, run
from tlx.sweeps.launcher import TlxLauncher, jobs_at_once
from tlx.sweeps.stopping import SWEEP, Stop

SAVING = 90.0  # seconds that jobs may take to save


class RayLauncher(TlxLauncher):
    """Runs each job as a Ray task; Ray assigns cores and GPUs.

    Args:
        address: Address of a running cluster (`auto`, `HOST:PORT`); null: start Ray on this machine, unless RAY_ADDRESS
            is set.
        n_jobs: Jobs at once if Ray is started here; `auto`: one per GPU; without GPUs half of the cores, at least 2.
        cpus_per_job: Cores per job; `auto`: an equal share if Ray is started here; 1 on a running cluster.
        gpus_per_job: GPUs per job; `auto`: 1 if there are any.
    """

    hands_out_gpus = False

    def __init__(
        self,
        address: str | None = None,
        n_jobs: int | str = "auto",
        cpus_per_job: float | str = "auto",
        gpus_per_job: float | str = "auto",
        **unknown: Any,
    ) -> None:
        if unknown:
            known = "address, n_jobs, cpus_per_job and gpus_per_job"
            raise TlxError(f"hydra.launcher: expected {known}, got {', '.join(unknown)}")
        self.address = address or os.environ.get("RAY_ADDRESS")
        self.jobs = jobs_at_once(n_jobs, "n_jobs")
        self.cpus_per_job, self.gpus_per_job = cpus_per_job, gpus_per_job

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Submit all jobs to Ray and wait for them."""
        if not jobs:
            return
        import ray

        cores = max(len(os.sched_getaffinity(0)), self.jobs)
        own = not ray.is_initialized()
        if own:
            here: dict[str, Any] = {} if self.address else {"num_cpus": cores, "num_gpus": len(gpus.installed())}
            quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
            with children.inherited():
                ray.init(self.address, job_config=job_config(children.import_path()), **quiet, **here)
        with ray_agents.ending_with_this_process() if own and not self.address else nullcontext():
            self._run(ray, jobs, cores, own)

    def _run(self, ray: Any, jobs: Sequence[Job], cores: int, own: bool) -> None:
        try:
            auto_cpus = 1 if self.address else cores // self.jobs
            auto_gpus = 1 if ray.cluster_resources().get("GPU") and not _on_cpu(jobs) else 0
            work = ray.remote(_work).options(
                num_cpus=auto_cpus if self.cpus_per_job == "auto" else self.cpus_per_job,
                num_gpus=auto_gpus if self.gpus_per_job == "auto" else self.gpus_per_job,
                max_retries=0,
            )
            with SWEEP.on_signals(signal.SIGINT, signal.SIGTERM):  # Ray has replaced the handlers with its own
                pending = [work.remote(job) for job in jobs]
                while pending:
                    _, pending = ray.wait(pending, num_returns=len(pending), timeout=0.5)
                    if SWEEP.number is not None:
                        for one in pending:
                            with suppress(Exception):  # it has just ended
                                ray.cancel(one)
                        ray.wait(pending, num_returns=len(pending), timeout=SAVING)
                        return
        finally:
            if own:
                ray.shutdown()


def _work(job: Job) -> None:
    """Run a job as a Ray task; `ray.cancel` sends it SIGINT."""
    stop = Stop()
    with stop.on_signals(signal.SIGINT, signal.SIGTERM):
        run(job, stop)


def _on_cpu(jobs: Sequence[Job]) -> bool:
    return all(gpus.wanted(job.config["trainer"]["devices"], job.config["trainer"]["accelerator"]) == 0 for job in jobs)
