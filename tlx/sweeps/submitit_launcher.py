"""Run jobs with submitit: as a SLURM job array, or in processes of this machine to try that out."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tlx.base import children
from tlx.base.errors import TlxError
from tlx.base.printable import one_line
from tlx.sweeps import gpus
from tlx.sweeps.job import Job, run
from tlx.sweeps.launcher import TlxLauncher, jobs_at_once
from tlx.sweeps.records import ENDED
from tlx.sweeps.stopping import SWEEP, Stop

SAVING = 90.0  # seconds that a job may take to save


class Worker:
    """The callable that submitit sends to the machine of a job."""

    def __init__(self) -> None:
        self.stop = Stop()

    def __call__(self, job: Job) -> None:
        """Run the job in a thread, because submitit handles its timeout signal in the main thread."""
        self.thread = threading.Thread(target=run, args=(job, self.stop))
        with self.stop.on_signals(signal.SIGTERM, signal.SIGINT):
            self.thread.start()
            while self.thread.is_alive():
                self.thread.join(timeout=0.5)

    def checkpoint(self, job: Job) -> Any:
        """Have the job save; return the same job for submitit to requeue, so that it resumes from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        self.stop.number = signal.SIGTERM
        self.thread.join(timeout=SAVING)
        return DelayedSubmission(Worker(), replace(job, record=replace(job.record, state="waiting")))


class SubmititLauncher(TlxLauncher):
    """Base of the local and the SLURM launcher."""

    cluster = ""
    poll = 1.0  # seconds
    parameters: dict[str, Any]
    max_num_timeout = 0

    def _executor(self) -> Any:
        import submitit

        logging.getLogger("submitit").setLevel(logging.ERROR)  # no warning per minute without accounting
        times = {f"{self.cluster}_max_num_timeout": self.max_num_timeout}
        executor = submitit.AutoExecutor(self._folder() / "%j", cluster=self.cluster, **times)
        try:
            executor.update_parameters(**{k: v for k, v in self.parameters.items() if v is not None})
        except (NameError, ValueError, TypeError) as error:
            raise TlxError(f"hydra.launcher: expected parameters that submitit takes, got: {error}") from error
        return executor

    def _folder(self) -> Path:
        """Return a new folder with an unpredictable name.

        Jobs load the pickles in it, so none may come from an earlier owner of the sweep's directory.

        Raises:
            TlxError: The path is a link.
        """
        parent = self.records.directory / ".submitit"
        if parent.is_symlink():
            raise TlxError(f"{one_line(parent)}: expected a folder, got a link; remove it")
        folder = parent / secrets.token_hex(6)
        folder.mkdir(parents=True)
        return folder

    def _wait(self, running: dict[int, Any]) -> dict[int, Any]:
        """Wait a moment; return the jobs that still run, by number; cancel all of them if the sweep must stop."""
        time.sleep(self.poll)
        if SWEEP.number is None:
            return {number: one for number, one in running.items() if not self._over(number, one, ("interrupted",))}
        until = time.monotonic() + SAVING
        for one in running.values():
            with suppress(Exception):  # the job may have just ended
                self._cancel(one)
        while time.monotonic() < until and not all(self._over(*item) for item in running.items()):
            time.sleep(self.poll)
        return {}

    def _cancel(self, one: Any) -> None:
        one.cancel()

    def _over(self, number: int, one: Any, but: Sequence[str] = ()) -> bool:
        """Return whether a job has ended: its record shows that before the cluster does.

        `but` excludes states: an interrupted job may have been requeued.
        """
        state = self.records.read(number).state
        return (state in ENDED and state not in but) or one.done()


class LocalLauncher(SubmititLauncher):
    """Runs jobs in processes of this machine, which finish their jobs even if the sweep itself is killed.

    Args:
        n_jobs: Jobs at once; `auto`: one per GPU; without GPUs half of the cores, at least 2.
        timeout_min: Minutes that a job may take before it saves and restarts, up to five times.
    """

    cluster = "local"
    poll = 0.2
    hands_out_gpus = True
    max_num_timeout = 5

    def __init__(self, n_jobs: int | str = "auto", timeout_min: int = 10080, **unknown: Any) -> None:
        if unknown:
            raise TlxError(f"hydra.launcher: expected n_jobs and timeout_min, got {', '.join(unknown)}")
        self.at_once = jobs_at_once(n_jobs, "n_jobs")
        self.parameters = {"timeout_min": timeout_min}

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Run the jobs, `n_jobs` at once; submitit itself would start all of them."""
        executor = self._executor()
        seen = ",".join(gpus.visible(gpus.installed(), os.environ))
        waiting = [replace(job, variables={"CUDA_VISIBLE_DEVICES": seen, **job.variables}) for job in jobs]
        running: dict[int, Any] = {}
        while waiting or running:
            while waiting and len(running) < self.at_once and SWEEP.number is None:
                job = waiting.pop(0)
                before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the sweep gets Ctrl-C and relays it
                with children.inherited():
                    running[job.record.number] = executor.submit(Worker(), job)
                signal.signal(signal.SIGINT, before)
            running = self._wait(running)
            if SWEEP.number is not None:
                return

    def _cancel(self, one: Any) -> None:
        os.kill(int(one.job_id), signal.SIGTERM)  # submitit's own cancel kills a job after a second


class SlurmLauncher(SubmititLauncher):
    """Runs the jobs as one SLURM job array.

    Args:
        max_num_timeout: How often a job that reaches its time limit is requeued; it resumes from its checkpoint.
        parameters: submitit's parameters: partition, gpus_per_node, cpus_per_task, timeout_min, mem_gb, …
    """

    cluster = "slurm"
    hands_out_gpus = False
    GENERAL = ("timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task", "name", "stderr_to_stdout")

    def __init__(self, max_num_timeout: int = 20, **parameters: Any) -> None:
        nodes, tasks = parameters.pop("nodes", 1), parameters.pop("tasks_per_node", 1)
        if nodes != 1 or tasks != 1:
            raise TlxError(
                f"hydra.launcher: expected nodes and tasks_per_node of 1, got {nodes} and {tasks}: tlx starts the "
                "processes of a job itself; for two GPUs a job: hydra.launcher.gpus_per_node=2 trainer.devices=2"
            )
        self.max_num_timeout = max_num_timeout
        self.parameters = {k if k in self.GENERAL else f"slurm_{k}": _plain(v) for k, v in parameters.items()}

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Submit them as one array and wait for them."""
        if not jobs:
            return
        executor = self._executor()
        with children.inherited(), executor.batch():
            submitted = [executor.submit(Worker(), job) for job in jobs]
        array = submitted[0].job_id.partition("_")[0]
        print(f"submitted to SLURM: array {array}, {len(jobs)} {'jobs' if len(jobs) > 1 else 'job'}", flush=True)
        running = {job.record.number: one for job, one in zip(jobs, submitted, strict=True)}
        while running:
            running = self._wait(running)
        until = time.monotonic() + 30  # a shared file system may show the last records late
        while time.monotonic() < until and SWEEP.number is None:
            if all(self.records.read(job.record.number).state in ENDED for job in jobs):
                return
            time.sleep(self.poll)


def _plain(value: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
