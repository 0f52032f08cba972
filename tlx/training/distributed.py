"""Several devices on this machine: one command of its own for every process, whatever launched the run.

Lightning would start the other processes by running this process's command again. Inside a multirun or a notebook that
is another sweep, or nothing. torchrun is given the run directory instead, which holds the resolved configuration.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment

from tlx.base import owner
from tlx.base.children import environment
from tlx.base.errors import Interrupted, TlxError
from tlx.base.interruption import Interruption
from tlx.base.ranks import is_first
from tlx.base.slurm import is_one_of_several, tasks_of_step
from tlx.records.directory import RunDirectory
from tlx.records.settled import AUTO, undecided
from tlx.training.crew import MISTAKE, SAVING, STOPPED


def processes(config: DictConfig) -> int:
    """Return how many processes the devices of a configuration ask for on this machine.

    Raises:
        TlxError: More GPUs are asked for than there are.
    """
    devices, accelerator = config.trainer.devices, config.trainer.accelerator
    available = torch.cuda.device_count() if accelerator in (AUTO, "gpu", "cuda") else 0
    if accelerator in ("gpu", "cuda") and available == 0:
        raise TlxError("trainer.accelerator: expected a GPU that torch can use, got none; use trainer.accelerator=cpu")
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise TlxError("trainer.accelerator: expected one that is here, got mps, which is Apple's; type auto or cpu")
    if accelerator == "tpu" and importlib.util.find_spec("torch_xla") is None:
        raise TlxError("trainer.accelerator: expected one that is here, got tpu without torch_xla; type auto or cpu")
    if isinstance(devices, ListConfig | list):
        if available and (none := [d for d in devices if not 0 <= int(d) < available]):
            raise TlxError(f"trainer.devices: expected GPUs of 0 to {available - 1}, got {', '.join(map(str, none))}")
        wanted = len(devices)
    elif devices in (AUTO, -1):
        wanted = max(available, 1)
    else:
        wanted = int(devices)
    if wanted < 1:
        raise TlxError(f"trainer.devices: expected at least 1, -1, auto or a list of GPU indices, got {devices}")
    if available and wanted > available:
        raise TlxError(f"trainer.devices: expected at most {available}, the GPUs of this machine, got {devices}")
    return wanted


def check_world(config: DictConfig) -> None:
    """Compare the processes that torchrun or SLURM started with what a configuration asks for.

    Raises:
        TlxError: They differ, and every process would train by itself into the same directory, or `auto` is left,
            which several processes might settle differently.
    """
    wanted, nodes = processes(config) * config.trainer.num_nodes, config.trainer.num_nodes
    started = int(os.environ.get("WORLD_SIZE", tasks_of_step()))
    if started != wanted:
        raise TlxError(
            f"trainer.devices x trainer.num_nodes: expected {started}, the processes that torchrun or SLURM started, "
            f"got {wanted}; for example trainer.num_nodes={nodes} trainer.devices={max(1, started // nodes)}"
        )
    for key in undecided(config):
        raise TlxError(f"{key}: expected a choice where torchrun or SLURM start the processes, got auto")


def check_alone(config: DictConfig) -> None:
    """Refuse several machines where nobody has started a process on the others, which would be waited for.

    Raises:
        TlxError: It says how to start them.
    """
    if config.trainer.num_nodes > 1:
        raise TlxError(
            f"trainer.num_nodes: expected 1 where one process was started, got {config.trainer.num_nodes}; start it by "
            "torchrun on each machine, or in an allocation of SLURM by srun: type srun tlx train …"
        )


def is_worker() -> bool:
    """Return whether somebody (torchrun, srun) started this process as one of several."""
    return is_one_of_several()


def cluster() -> list[ClusterEnvironment]:
    """Return what Lightning is told of the processes; its own guess takes an allocation of SLURM for a step.

    Empty where torchrun (or somebody else who sets LOCAL_RANK) started them: that guess is right.
    """
    if "LOCAL_RANK" in os.environ:
        return []
    return [_Step(auto_requeue=False)] if tasks_of_step() > 1 else [LightningEnvironment()]


class _Step(SLURMEnvironment):
    """Processes of one `srun`, which may be fewer than the allocation allows; `check_world` has compared them."""

    _validate_srun_used = staticmethod(lambda: None)
    _validate_srun_variables = staticmethod(lambda: None)

    def world_size(self) -> int:
        """Processes in all."""
        return tasks_of_step()

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Compare nothing with what the allocation allows."""


def launch(run: RunDirectory, count: int, lock: int) -> None:
    """Train the configuration of a run directory in `count` processes and wait for them.

    Args:
        run: The run.
        count: Number of processes.
        lock: Handle of the run's lock, which the processes hold on to: should this process be killed, no other one
            trains the run beside them.

    Raises:
        TlxError: A process failed: which one, and of what; the run's status has its message and its traceback.
    """
    command = [sys.executable, "-m", "tlx.training.crew", str(count), str(run.directory)]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    leash = owner.Leash()
    variables = {**environment(OMP_NUM_THREADS=threads), **owner.on_stdin()}
    started = subprocess.Popen(command, stdin=leash.theirs.fileno(), env=variables, pass_fds=[lock])
    leash.started()
    try:
        code = started.wait()
    except BaseException:  # a signal: torchrun passes it on to the processes and waits for them to save
        started.terminate()
        try:
            started.wait()
        except BaseException:  # a second one
            started.kill()
            started.wait()
            raise
        raise
    finally:
        leash.let_go(seconds=SAVING)  # nobody trains on when the lock is released
    if code == STOPPED:
        raise Interrupted("one of its processes was stopped by SIGTERM", exit_code=STOPPED)
    told = run.status.get("error") or _crew_ended(code)
    if code == MISTAKE:
        raise TlxError(told)
    if code != 0:
        saved = (run.checkpoints / "last.ckpt").is_file()
        then = "goes on from the last checkpoint" if saved else "begins anew: no checkpoint was written yet"
        raise TlxError(f"{run.directory}: expected {count} processes to the end, got: {told}; the same command {then}")


def _crew_ended(code: int) -> str:
    """Return how the process ended that starts the others, where none of them has said anything."""
    if code >= 0:
        return f"exit code {code}"
    number = signal.Signals(-code)
    hint = ", perhaps for want of memory" if number == signal.SIGKILL else ""
    return f"the process that starts them was killed by {number.name}{hint}"


@contextmanager
def stopping_together(run: RunDirectory, config: DictConfig) -> Iterator[Interruption]:
    """Give the interruption of this process, one of several; note in the status of the run where it is stopped inside.

    On one machine signals are obeyed after a step, by all of them. On several a signal ends each process at once: the
    connections that an agreement needs may not be open there.
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
                interruption.stop()  # the other one was quicker to leave
    except Interrupted as stopped:
        if is_first():
            run.note("interrupted", reason=stopped.reason)
        raise


def has_lost_another(error: BaseException) -> bool:
    """Return whether an error is that of a process whose connection to another one has ended: that one says more."""
    text = str(error)
    return isinstance(error, dist.DistError) or "Connection closed by peer" in text or "/gloo/transport/" in text


def note_failure(run: RunDirectory, error: Exception) -> None:
    """Write into the status of a run why this process, one of several, has failed; what is written first stays."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    told = str(error) or type(error).__name__
    if has_lost_another(error):
        told = f"rank {rank} lost the connection to another process, which ended first: {told}"
    elif not isinstance(error, TlxError):
        told = f"rank {rank}: {type(error).__name__}: {told}"
    run.note("failed", error=told, traceback=traceback.format_exc())
