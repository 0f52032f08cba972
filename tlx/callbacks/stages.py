"""The stage callback: freezes, unfreezes and re-freezes layer groups inside one `Trainer.fit`."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from tlx.base.compat.lightning import wrap_again
from tlx.callbacks.checkpoint_reading import read_weights
from tlx.strategies.parameter_groups import layer_group
from tlx.strategies.plan import PlannedStage
from tlx.strategies.validated import is_validated
from tlx.tasks.module import Task

log = logging.getLogger("tlx")

_NEVER = sys.maxsize  # epochs


class Stages(pl.Callback):
    """Runs the planned stages one after another.

    A stage ends after its epochs, or when the monitored value has not improved for its patience. The learning rate
    of every layer group is set before each optimizer step from `PlannedStage.rate`, a pure function of stage, step and
    group.

    Args:
        stages: The plan.
        monitor: Logged value by which epochs are compared.
        mode: `max` or `min` of it.
        directory: Directory of `stage_best.ckpt`, the best weights of the previous stage; the next one may start there.

    Attributes:
        keeps_best: Whether the best weights of each stage are kept even if the next one does not start from them. Those
            of the first stage are in `best.ckpt`.
        keeps_last: Whether the last weights of a stage count as its best, see `trainer.keep`.
        every: Epochs from one validation to the next, for each stage; see `trainer.validate_every`.
        validates: Whether the current epoch, or the one that has just ended, is validated.
    """

    def __init__(self, stages: Sequence[PlannedStage], monitor: str, mode: str, directory: Path) -> None:
        self.stages = list(stages)
        self.monitor, self.sign = monitor, 1.0 if mode == "max" else -1.0
        self.best_path = directory / "stage_best.ckpt"
        self.index = 0  # of the current stage
        self.first_epoch = 0  # the epoch in which this stage began, counted over the run
        self.first_step = 0  # the optimizer step at which it began, counted over the run
        self.best: float | None = None
        self.waited = 0
        self.running = self.stages[0]  # the stage of the current epoch, or of the one that has just ended
        self.keeps_best = False
        self.keeps_last = False
        self.every = [1] * len(self.stages)
        self.validates = True
        self.keep_weights = False  # whether stage_best.ckpt gets the weights of the epoch that has just ended
        self._logged = False  # whether this process has logged its stage
        self._wrapped_for: int | None = None  # the stage for which this process has frozen and wrapped the network

    @property
    def stage(self) -> PlannedStage:
        """The current stage."""
        return self.stages[self.index]

    @property
    def total_epochs(self) -> int:
        """The maximum number of epochs of the run."""
        return sum(stage.epochs for stage in self.stages)

    # The state in a checkpoint: plain numbers only.

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the plan."""
        keys = ("index", "first_epoch", "first_step", "best", "waited")
        return {key: getattr(self, key) for key in keys}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position from a checkpoint; the network is set up when the next epoch begins."""
        index = int(state_dict["index"])
        if not 0 <= index < len(self.stages):
            raise ValueError(f"stage {index} of {len(self.stages)}")
        self.index, best = index, state_dict["best"]
        self.first_epoch, self.first_step = int(state_dict["first_epoch"]), int(state_dict["first_step"])
        self.best, self.waited = None if best is None else float(best), int(state_dict["waited"])

    # Lightning's hooks

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze for the first stage before the strategy wraps the module, so that it is wrapped only once."""
        if stage == "fit":
            assert isinstance(pl_module, Task)
            pl_module.train_groups(self.stage)
            self._wrapped_for = self.index

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Enter the stage of a run that resumes in the middle of an epoch: Lightning then calls no epoch start."""
        if trainer.fit_loop.restarted_mid_epoch:
            self._enter(trainer, pl_module, begins=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Enter the stage to which this epoch belongs."""
        self._enter(trainer, pl_module, begins=trainer.current_epoch == self.first_epoch)

    def _enter(self, trainer: pl.Trainer, pl_module: pl.LightningModule, begins: bool) -> None:
        assert isinstance(pl_module, Task)
        self.running = self.stage
        number = trainer.current_epoch - self.first_epoch + 1
        self._validate(trainer, is_validated(number, self.stage.epochs, self.every[self.index]))
        if begins and self.index > 0 and self.stage.start_from == "best":
            self._load_best(trainer)
        if self._wrapped_for != self.index:
            pl_module.train_groups(self.stage)
            if isinstance(trainer.strategy, DDPStrategy):
                # DDP leaves out parameters that were frozen when it wrapped them, and the ranks drift apart.
                wrap_again(trainer.strategy, pl_module)
            self._wrapped_for = self.index
        if begins or not self._logged:
            log.info(self.line(pl_module))
            self._logged = True
        pl_module.train()  # frozen groups are in eval mode, whatever Lightning restored after validation

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the learning rates of the next step."""
        rates = self.stage.rates(trainer.global_step - self.first_step, self.steps_of_stage(trainer))
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rates.get(layer_group(group), 0.0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Decide, after this epoch's validation, whether the stage continues."""
        kept = self._next_starts_from_best or (self.keeps_best and self.index > 0)
        improved = self._improved(trainer)
        self.keep_weights = kept and (improved or self.keeps_last)
        done = trainer.current_epoch + 1 - self.first_epoch
        patience = None if self.stage.patience is None else self.stage.longer(self.stage.patience)
        plateau = self.validates and patience is not None and self.waited >= patience
        if done < self.stage.epochs and not plateau:
            return
        if plateau and done < self.stage.epochs:
            log.info("stage %s ends on a plateau after %d of %d epochs", self.stage.name, done, self.stage.epochs)
        if self.index + 1 == len(self.stages):
            trainer.should_stop = True
            return
        self.index += 1
        self.first_epoch = trainer.current_epoch + 1
        self.first_step = trainer.global_step
        self.best, self.waited = None, 0

    def validate_now(self, trainer: pl.Trainer) -> None:
        """Validate this epoch, which is the last one."""
        self._validate(trainer, True)

    def _validate(self, trainer: pl.Trainer, choice: bool) -> None:
        self.validates = choice
        trainer.check_val_every_n_epoch = 1 if choice else _NEVER

    def figures(self, trainer: pl.Trainer) -> dict[str, float]:
        """Return what the epoch logged; Lightning keeps the figures of an earlier validation."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        return {name: value for name, value in logged.items() if self.validates or name.startswith("train/")}

    def steps_of_stage(self, trainer: pl.Trainer) -> int:
        """Return the number of optimizer steps of the current stage if it takes all its epochs."""
        per_epoch = math.ceil(int(trainer.num_training_batches) / trainer.accumulate_grad_batches)
        return per_epoch * self.stage.epochs

    def line(self, task: Task) -> str:
        """Return one line with the stage, the number of trained parameters, the epochs and the learning rates."""
        sizes = {g: sum(p.numel() for p in task.group_parameters(g)) for g in task.group_names}
        stage = self.stage
        trained = sum(sizes[g] for g in stage.trained)
        rates = ", ".join(f"{g} {lr:.2g}" for g, lr in zip(stage.trained, stage.peak_lr, strict=True))
        position = f"stage {self.index + 1}/{len(self.stages)} {stage.name}"
        counts = f"{trained:,} of {sum(sizes.values()):,} parameters"
        epochs = "1 epoch" if stage.epochs == 1 else f"up to {stage.epochs} epochs"
        return f"{position}: trains {counts}, {epochs}, lr {rates}"

    # Inside

    @property
    def _next_starts_from_best(self) -> bool:
        following = self.stages[self.index + 1 : self.index + 2]
        return bool(following) and following[0].start_from == "best"

    def _improved(self, trainer: pl.Trainer) -> bool:
        """Compare the monitored value with the best so far; without a value every epoch counts as better."""
        if not self.validates:
            self.waited += 1
            return False
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            return True
        score = self.sign * float(value)
        if self.best is not None and not score > self.best:
            self.waited += 1
            return False
        self.best, self.waited = score, 0
        return True

    def _load_best(self, trainer: pl.Trainer) -> None:
        trainer.strategy.barrier()
        trainer.strategy.load_model_state_dict({"state_dict": read_weights(self.best_path)}, strict=True)
