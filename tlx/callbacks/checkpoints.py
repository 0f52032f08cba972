"""The checkpoints of a run; a kill at any moment leaves the last good one intact."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from tlx.base.compat.lightning import checkpoint_of
from tlx.base.errors import Diverged, TlxError
from tlx.base.files import create, sync, temporary_of, temporary_path
from tlx.base.interruption import Interruption
from tlx.callbacks.agreement import Agreement, share
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.stages import Stages
from tlx.records.ownership import CHECKPOINTS, NEXT
from tlx.tasks.module import Task


class PlainIO(TorchCheckpointIO):
    """Writes directly to the given path; Lightning's default goes through the system's temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; the path comes from `tlx.base.files.beside`."""
        with create(Path(path)) as file:
            torch.save(checkpoint, file)


class Checkpoints(Checkpoint):
    """Keeps `best.ckpt` and `stage_best.ckpt` (weights) and `last.ckpt` (the full training state, for resuming).

    If labels of the target domain are available, `oracle.ckpt` holds the weights that these labels would have selected.
    They influence nothing else.

    Short epochs are not written one by one: after the first epoch of a start, files are written when `seconds` have
    passed since they were last, when a stage or the training ends, and when a stop is requested. Meanwhile the best
    weights are held in memory.

    The files must agree with each other. New best weights are written under another name, then last.ckpt with the
    scores, then the best weights are renamed. After a kill, `settle_files` restores the state that last.ckpt records.
    Each file is written to a temporary name, synced to the disk and renamed.

    Args:
        directory: Directory of the checkpoints.
        stages: The callback that runs the plan; it evaluates the epoch before this callback runs.
        monitor: Logged value that selects the best weights.
        mode: `max` or `min` of it.
        interruption: The request to stop after a step.
        seconds: Least time between two checkpoints; 0: every epoch is written.

    Attributes:
        before_writing: Called before last.ckpt is written: what must be on the disk by then.
    """

    def __init__(
        self,
        directory: Path,
        stages: Stages,
        monitor: str,
        mode: str,
        interruption: Interruption,
        seconds: float = 0.0,
    ) -> None:
        self.directory, self.stages, self.agreement = directory, stages, Agreement(interruption)
        self.before_writing: list[Callable[[], None]] = []
        self.pause = seconds
        self._written: float | None = None  # when this start last wrote its files; None: not yet
        self._held: dict[str, dict[str, Any]] = {}  # file -> checkpoint of an epoch since then
        self._unwritten = False  # whether an epoch has ended since then
        self.monitor, self.sign = monitor, 1.0 if mode == "max" else -1.0
        self.best: float | None = None
        self.oracle: float | None = None  # the best accuracy on labels of the target domain; it decides nothing
        self.figures: dict[str, float] = {}  # `val/…` of the weights in best.ckpt
        self.done = False  # whether training is complete
        self.seconds = 0.0  # of training, over all starts
        self.epoch: dict[str, float] | None = None  # the sums of an epoch that was stopped midway
        self.begun = False  # whether a step was taken, which proves that the checkpoint was usable
        self._since = time.perf_counter()

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.directory / "last.ckpt"

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, over all starts."""
        return self.seconds + time.perf_counter() - self._since

    def state_dict(self) -> dict[str, Any]:
        """Return the state to store in a checkpoint, plain numbers only."""
        best = {"best": self.best, "oracle": self.oracle, "figures": self.figures}
        return {**best, "done": self.done, "seconds": self.elapsed, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        for key in ("best", "oracle"):
            setattr(self, key, None if state_dict[key] is None else float(state_dict[key]))
        self.figures = {str(name): float(value) for name, value in state_dict["figures"].items()}
        self.done, self.seconds = bool(state_dict["done"]), float(state_dict["seconds"])
        epoch = state_dict["epoch"]
        self.epoch = None if epoch is None else {str(name): float(value) for name, value in epoch.items()}

    # Lightning's hooks

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock and connect the processes; restore the sums of an epoch that was stopped midway."""
        self._since = time.perf_counter()
        self.agreement.begin()
        if self.epoch is not None:
            assert isinstance(pl_module, Task)
            pl_module.load_epoch_state(share(self.epoch))
            self.epoch = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write out the curves of a saved epoch, so that a kill does not lose them; stop if requested.

        If the epoch was not saved, a request that has come since its end is met after the next step.
        """
        if not self._unwritten:
            _flush(trainer)
        if self.agreement.now() and not self._unwritten:
            self.agreement.interruption.stop()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if the previous step was saved for a stop; its metrics have been logged by now."""
        if self.epoch is not None:
            _flush(trainer)
            self.agreement.interruption.stop()
        self.agreement.before_step(trainer.global_step + 1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a stop was requested; after the last step of an epoch, leave saving to the end of the epoch."""
        self.begun = True
        if not self.agreement.after_step():
            return
        whole_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if whole_step and batch_idx + 1 < trainer.num_training_batches:
            assert isinstance(pl_module, Task)
            self.epoch = self.agreement.gathered(pl_module.epoch_state())
            self._save(trainer, [])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch, or hold its weights if they are the best so far."""
        self.done = trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        due = self._is_due(trainer)
        if not (self.stages.validates or due):
            self._unwritten = True
            return
        fresh = []
        if self._is_best(trainer):
            fresh.append("best.ckpt")
            if self.stages.validates:
                self.figures = {k: v for k, v in self.stages.figures(trainer).items() if k.startswith("val/")}
        if self.stages.keep_weights:
            fresh.append("stage_best.ckpt")
        assert isinstance(pl_module, Task)
        if self._is_best_of_the_oracle(trainer, pl_module.kind.oracle):
            fresh.append("oracle.ckpt")
        if due:
            self._save(trainer, fresh)
        else:
            self._unwritten = True
            if fresh and trainer.is_global_zero:
                self._held |= dict.fromkeys(fresh, _copied(trainer, pl_module))

    # Inside

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """Return whether to write files after this epoch, the same in all processes."""
        stopping = self.agreement.now()
        ends = self.done or self.stages.stage is not self.stages.running
        if stopping or ends or not self.pause or self._written is None:
            return True
        passed = time.monotonic() - self._written >= self.pause
        return bool(trainer.strategy.broadcast(passed)) if trainer.world_size > 1 else passed

    def _save(self, trainer: pl.Trainer, fresh: Sequence[str]) -> None:
        """Write last.ckpt, and the best weights that are new since the last time.

        Args:
            trainer: It has the current weights.
            fresh: The files that hold the current weights.
        """
        earlier = {name: checkpoint for name, checkpoint in self._held.items() if name not in fresh}
        for name, checkpoint in earlier.items():
            save_tensors(self.directory / (name + NEXT), checkpoint)
        for name in fresh:
            self._write(trainer, self.directory / (name + NEXT), weights_only=True)
        for write in self.before_writing:
            write()
        _flush(trainer)
        self._write(trainer, self.last)
        if trainer.is_global_zero:
            for name in (*earlier, *fresh):
                (self.directory / (name + NEXT)).replace(self.directory / name)
            sync(self.directory)
        self._held, self._unwritten, self._written = {}, False, time.monotonic()
        trainer.strategy.barrier()  # no process leaves before the files are in place

    def _is_best(self, trainer: pl.Trainer) -> bool:
        if not self.stages.validates:
            return self.stages.keeps_last
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:  # no validation split: the last weights count as the best
            return True
        score = self.sign * float(value)
        if math.isnan(score):
            place = f"epoch {trainer.current_epoch}, stage {self.stages.running.name}"
            hint = "Try a lower optimizer.lr or trainer.gradient_clip_val=1.0"
            raise Diverged(f"{self.monitor}: expected a number, got nan ({place})", hint)
        improved = self.best is None or score > self.best
        if improved:
            self.best = score
        return improved or self.stages.keeps_last

    def _is_best_of_the_oracle(self, trainer: pl.Trainer, figure: str | None) -> bool:
        value = None if figure is None or not self.stages.validates else trainer.callback_metrics.get(figure)
        if value is None or (self.oracle is not None and float(value) <= self.oracle):
            return False
        self.oracle = float(value)
        return True

    def _write(self, trainer: pl.Trainer, path: Path, weights_only: bool = False) -> None:
        def save(temporary: Path) -> bool:
            trainer.save_checkpoint(temporary, weights_only=weights_only)
            return trainer.is_global_zero

        _save_atomically(path, save)


def _copied(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """Return what `best.ckpt` would hold now, in the host's memory; weights that are frozen are not copied."""
    checkpoint = checkpoint_of(trainer)
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    weights = checkpoint["state_dict"]
    copied = {name: one if name in frozen else one.to("cpu", copy=True) for name, one in weights.items()}
    return {**checkpoint, "state_dict": copied}


def save_weights(path: Path, task: Task) -> None:
    """Write the weights of a task that no Trainer has trained, in the format of `best.ckpt`."""
    save_tensors(path, {"state_dict": task.state_dict(), "tlx": task.carried})


def save_tensors(path: Path, values: dict[str, Any]) -> None:
    """Write tensors and plain values by name."""

    def save(temporary: Path) -> bool:
        PlainIO().save_checkpoint(values, temporary)
        return True

    _save_atomically(path, save)


def _save_atomically(path: Path, save: Callable[[Path], bool]) -> None:
    """Save a file under a temporary name, then rename it.

    Args:
        path: The file.
        save: Writes to a path; returns whether this process wrote the file, and so renames it.
    """
    temporary = temporary_path(path)
    try:
        if save(temporary):
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    except (OSError, RuntimeError) as error:  # a full disk raises either
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason: BaseException | None = error  # torch's error about the end of the file hides the system's error
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__
        raise TlxError(
            f"cannot write {path}: {reason or error}; free some disk space, then start again: the run resumes from "
            "its last checkpoint"
        ) from error


def settle_files(directory: Path) -> None:
    """Restore the files of a directory to the state recorded in last.ckpt, after a kill between two renames.

    Only files with the names of tlx's checkpoints are renamed or removed.
    """
    for path in directory.iterdir() if directory.is_dir() else ():
        if temporary_of(path.name) in (*CHECKPOINTS, *(name + NEXT for name in CHECKPOINTS)):
            path.unlink()
    last = directory / "last.ckpt"
    step = progress(last)["global_step"] if last.is_file() else -1
    for name in CHECKPOINTS:
        waiting = directory / (name + NEXT)
        if not waiting.is_file():
            continue
        if progress(waiting)["global_step"] <= step:
            waiting.replace(directory / name)
        else:  # from an epoch that will be trained again
            waiting.unlink()


def _flush(trainer: pl.Trainer) -> None:
    for logger in trainer.loggers:
        logger.save()
