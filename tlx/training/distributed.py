"""Train on several devices of this machine: torchrun starts one process per device, however the run was started.

Lightning would start the other processes by running this process's command again. Inside a multirun or a notebook, that
would start another sweep, or nothing. Instead, torchrun gets the run directory, which holds the resolved configuration.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch.distributed as dist
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment

from tlx.base import owner
from tlx.base.children import environment
from tlx.base.compat.lightning import UncheckedSlurm
from tlx.base.errors import Interrupted, TlxError
from tlx.base.interruption import Interruption
from tlx.base.ranks import is_first
from tlx.base.slurm import is_one_of_several, tasks_of_step
from tlx.records.directory import RunDirectory
from tlx.records.settled import undecided
from tlx.training.devices import processes
from tlx.training.process_group import MISTAKE, SAVING, STOPPED


def check_world(config: DictConfig) -> None:
    """Check the number of processes that torchrun or SLURM started against the configuration.

    Raises:
        TlxError: The numbers differ, so that the processes would train separately into the same directory; or `auto`
            is left, which several processes might settle differently.
    """
    wanted, nodes = processes(config) * config.trainer.num_nodes, config.trainer.num_nodes
    started = int(os.environ.get("WORLD_SIZE", tasks_of_step()))
    if started != wanted:
        raise TlxError(
            f"trainer.devices x trainer.num_nodes: expected {started}, the processes that torchrun or SLURM started, "
            f"got {wanted}; for example trainer.num_nodes={nodes} trainer.devices={max(1, started // nodes)}"
        )
    for key in undecided(config):
        raise TlxError(f"{key}: expected a value if torchrun or SLURM start the processes, got auto")


def check_alone(config: DictConfig) -> None:
    """Refuse several machines if only this process was started: it would wait for the others.

    Raises:
        TlxError: The message says how to start them.
    """
    if config.trainer.num_nodes > 1:
        raise TlxError(
            f"trainer.num_nodes: expected 1 for a single process, got {config.trainer.num_nodes}; start tlx with "
            "torchrun on each machine, or with srun in a SLURM allocation: type srun tlx train …"
        )


def is_worker() -> bool:
    """Return whether this process was started as one of several (by torchrun or srun)."""
    return is_one_of_several()


def cluster() -> list[ClusterEnvironment]:
    """Return the environment of the processes for Lightning, which would mistake a SLURM allocation for a job step.

    Empty if torchrun (or another launcher that sets LOCAL_RANK) started them: Lightning detects that correctly.
    """
    if "LOCAL_RANK" in os.environ:
        return []
    return [_Step(auto_requeue=False)] if tasks_of_step() > 1 else [LightningEnvironment()]


class _Step(UncheckedSlurm):
    """The processes of one `srun`, which may be fewer than the allocation allows; `check_world` checks their number."""

    def world_size(self) -> int:
        """Return the total number of processes."""
        return tasks_of_step()

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Skip Lightning's check against the allocation."""


def launch(run: RunDirectory, count: int, lock: int) -> None:
    """Train the configuration of a run directory in `count` processes and wait for them.

    Args:
        run: The run.
        count: Number of processes.
        lock: Handle of the run's lock. The processes keep it open, so that no other process trains the run with them
            if this one is killed.

    Raises:
        TlxError: A process failed. The message says which one, and why; the run's status also has the traceback.
    """
    command = [sys.executable, "-m", "tlx.training.process_group", str(count), str(run.directory)]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    connection = owner.OwnerSocket()
    variables = {**environment(OMP_NUM_THREADS=threads), **owner.stdin_variable()}
    started = subprocess.Popen(command, stdin=connection.child_end.fileno(), env=variables, pass_fds=[lock])
    connection.child_started()
    try:
        code = started.wait()
    except BaseException:  # a signal: torchrun relays it to the processes and waits for them to save
        started.terminate()
        try:
            started.wait()
        except BaseException:  # a second signal
            started.kill()
            started.wait()
            raise
        raise
    finally:
        connection.close(seconds=SAVING)  # no process may train after the lock is released
    if code == STOPPED:
        raise Interrupted("one of its processes was stopped by SIGTERM", exit_code=STOPPED)
    reason = run.status.get("error") or _launcher_ended(code)
    if code == MISTAKE:
        raise TlxError(reason)
    if code != 0:
        saved = (run.checkpoints / "last.ckpt").is_file()
        then = "resumes from the last checkpoint" if saved else "starts from scratch: there is no checkpoint yet"
        raise TlxError(f"{run.directory}: expected {count} processes to finish, got: {reason}; the same command {then}")


def _launcher_ended(code: int) -> str:
    """Return how the process that starts the others ended; used if none of them noted an error."""
    if code >= 0:
        return f"exit code {code}"
    number = signal.Signals(-code)
    hint = ", perhaps out of memory" if number == signal.SIGKILL else ""
    return f"the process that starts them was killed by {number.name}{hint}"


@contextmanager
def stopping_together(run: RunDirectory, config: DictConfig) -> Iterator[Interruption]:
    """Yield the interruption of this process, one of several; if it is stopped inside, note that in the run's status.

    On one machine all processes stop after the same step. On several machines a signal ends each process at once,
    because the connections that are needed to agree on a step may not be available.
    """
    interruption = Interruption(patient=True)
    together = config.trainer.num_nodes == 1 and dist.is_available() and dist.is_gloo_available()
    try:
        with interruption.watching() if together else nullcontext():
            try:
                yield interruption
            except Exception as error:
                if interruption.requested is None or not has_lost_another(error):
                    raise
                interruption.stop()  # another process stopped first
    except Interrupted as stopped:
        if is_first():
            run.note("interrupted", reason=stopped.reason)
        raise


def has_lost_another(error: BaseException) -> bool:
    """Return whether an error only says that the connection to another process has ended."""
    text = str(error)
    return isinstance(error, dist.DistError) or "Connection closed by peer" in text or "/gloo/transport/" in text


def note_failure(run: RunDirectory, error: Exception) -> None:
    """Note in the run's status why this process, one of several, has failed; the first note stays."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    message = str(error) or type(error).__name__
    if has_lost_another(error):
        message = f"rank {rank} lost the connection to another process, which ended first: {message}"
    elif not isinstance(error, TlxError):
        message = f"rank {rank}: {type(error).__name__}: {message}"
    run.note("failed", error=message, traceback=traceback.format_exc())
