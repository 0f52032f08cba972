"""What every task does to learn: the optimizer, the loss of an epoch, the adaptation to a target domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tlx.adaptation.base import Adaptation
from tlx.backbones.backbone import Backbone
from tlx.strategies.monitor import Monitor
from tlx.tasks.base import TaskContract
from tlx.tasks.layer_groups import Owned
from tlx.tasks.mean_loss import MeanLoss
from tlx.tasks.network import Batch, FeatureNetwork

# Of parameters by layer group, and whether fused kernels may be chosen; `tlx.training.optimizers` has it.
MakeOptimizer = Callable[[Mapping[str, Sequence[Owned]], bool], torch.optim.Optimizer]


@dataclass(frozen=True)
class Learning:
    """What a task is given that learns; one that only predicts needs none of it.

    Args:
        monitor: The logged value that selects the best checkpoint; None: the task's own.
        make_optimizer: Makes the optimizer.
        adapt: Makes the adaptation of a task, once its head is there; None: there is no target domain.
        class_counts: Training images of each class as they are drawn.
    """

    monitor: Monitor | None = None
    make_optimizer: MakeOptimizer | None = None
    adapt: Callable[[Any], Adaptation] | None = None
    class_counts: Sequence[float] | None = None


class Learner(FeatureNetwork, TaskContract):
    """A network that learns.

    Args:
        backbone: Ordered layer groups, see `Backbone`.
        learning: What it is given to learn; None: it only predicts.
    """

    def __init__(self, backbone: Backbone, learning: Learning | None) -> None:
        super().__init__(backbone)
        learning = learning or Learning()
        self._make_optimizer, self._adapt = learning.make_optimizer, learning.adapt
        self.adaptation: Adaptation | None = None
        self._mean_loss = MeanLoss()
        self.carried: dict[str, Any] = {}

    def adapt(self) -> None:
        """Make the adaptation, where there is one; called once, when the head is there."""
        if self._adapt is not None:
            self.adaptation = self._adapt(self)
            self._adapt = None  # it may hold the images, and copies of this network are made

    def adapting_modules(self) -> list[nn.Module]:
        """Return what of the adaptation trains together with the head."""
        return [] if self.adaptation is None else self.adaptation.trained()

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar, without what an adaptation adds."""
        return self.loss_of(self.head(self.features_of(batch)), batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return a scalar: the mean loss of a batch, and what an adaptation adds to it."""
        loss = self.loss(batch) if self.adaptation is None else self._adapted(self.adaptation, batch)
        self.log_loss(loss, images=len(batch["target"]))
        return loss

    def _adapted(self, adaptation: Adaptation, batch: Batch) -> Tensor:
        progress = adaptation.progress(self.done)
        source, other = adaptation.both(self, batch, idle=progress is None)
        # Before the adaptation begins it counts nothing, but what it trains stays in the graph, as DDP wants it.
        weight = 0.0 if progress is None else adaptation.weight
        return self.loss_of(source.logits, batch) + weight * adaptation.penalty(source, other, progress or 0.0)

    @property
    def done(self) -> float:
        """Part of the planned training that is over, in [0, 1]: a function of the step."""
        trainer = self.trainer
        per_epoch = math.ceil(int(trainer.num_training_batches) / trainer.accumulate_grad_batches)
        return trainer.global_step / max(per_epoch * (trainer.max_epochs or 1), 1)

    def on_train_epoch_start(self) -> None:
        """Let the adaptation do what it does once an epoch; the stage callback has had its turn."""
        if self.adaptation is not None and (progress := self.adaptation.progress(self.done)) is not None:
            self.adaptation.begin_epoch(self, self.trainer.datamodule, progress)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer with every layer group in it from the start; the stage callback sets the rates."""
        assert self._make_optimizer is not None, "this task was not given an optimizer"
        groups = {g: list(self.named_group(g)) for g in self.group_names}
        return self._make_optimizer(groups, not self._sharded and self._may_fuse)

    @property
    def _may_fuse(self) -> bool:
        # Gradients that are scaled for float16 are clipped before the step, for which fused kernels are too late; of
        # these Lightning believes the same in bfloat16.
        if self._trainer is None:
            return True
        clipped = self._trainer.gradient_clip_val is not None
        return self._trainer.precision != "16-mixed" and not (clipped and self._trainer.precision == "bf16-mixed")

    def log_loss(self, loss: Tensor, images: int) -> None:
        """Log a step's loss, a scalar, and at the epoch's last step its mean, as `train/batch_loss` and `train/loss`.

        Lightning's log costs more than a small step: a loss that nobody would see is not given to it.
        """
        self._mean_loss.add(loss, images)
        trainer = self.trainer
        due = trainer.loggers and (trainer.global_step + 1) % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if due or trainer.progress_bar_callback is not None:
            self.log("train/batch_loss", loss.detach(), on_step=True, on_epoch=False, prog_bar=True)
        if trainer.is_last_batch:
            total, images_seen = trainer.strategy.reduce(self._mean_loss.totals(), reduce_op="sum")
            # Not to the logger: see callbacks/curves.py.
            self.log("train/loss", total / images_seen, on_step=False, on_epoch=True, logger=False)

    def carry(self, values: dict[str, Any]) -> None:
        """Take plain values along in every checkpoint: the configuration and the description of the network."""
        self.carried = values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store them."""
        checkpoint["tlx"] = self.carried

    def epoch_state(self) -> dict[str, float]:
        """Return what has added up in this epoch so far, for a run that stops in the middle of it."""
        return self._mean_loss.state()

    def load_epoch_state(self, state: dict[str, float]) -> None:
        """Continue from there."""
        self._mean_loss.load(state, self.device)
