"""Training code that all tasks share: the optimizer, the epoch's loss, the adaptation to a target domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tlx.adaptation.base import Adaptation
from tlx.backbones.backbone import Backbone
from tlx.base.compat.lightning import trainer_of
from tlx.data.batches.loader import EpochLoader
from tlx.strategies.monitor import Monitor
from tlx.tasks.base import TaskContract
from tlx.tasks.layer_groups import Owned
from tlx.tasks.mean_loss import MeanLoss, StepLoss
from tlx.tasks.network import Batch, FeatureNetwork

# From parameters by layer group and whether fused kernels are allowed to an optimizer; see `tlx.training.optimizers`.
MakeOptimizer = Callable[[Mapping[str, Sequence[Owned]], bool], torch.optim.Optimizer]


@dataclass(frozen=True)
class Learning:
    """What a task needs for training; a task that only predicts needs none of it.

    Args:
        monitor: The logged value that selects the best checkpoint; None: the task's own.
        make_optimizer: Makes the optimizer.
        adapt: Makes the adaptation of a task once its head exists; None: there is no target domain.
        class_counts: Number of training images of each class, as they are sampled; of pixels for masks.
        box_sides: Width and height in pixels of the boxes of resized training images; none for other labels.
        most_objects: Number of objects that an image shows at most.
    """

    monitor: Monitor | None = None
    make_optimizer: MakeOptimizer | None = None
    adapt: Callable[[Any], Adaptation] | None = None
    class_counts: Sequence[float] | None = None
    box_sides: Sequence[tuple[float, float]] = ()
    most_objects: int = 1


class Learner(FeatureNetwork, TaskContract):
    """A network that can be trained.

    Args:
        backbone: Ordered layer groups, see `Backbone`.
        learning: What it needs for training; None: it only predicts.

    Attributes:
        divides_by_whole_batch: Whether `loss_of` divides by sums over the batches of all processes.
    """

    divides_by_whole_batch = False

    def __init__(self, backbone: Backbone, learning: Learning | None) -> None:
        super().__init__(backbone)
        learning = learning or Learning()
        self._make_optimizer, self._adapt = learning.make_optimizer, learning.adapt
        self.adaptation: Adaptation | None = None
        self._mean_loss, self._step_loss = MeanLoss(), StepLoss()
        self.carried: dict[str, Any] = {}

    def adapt(self) -> None:
        """Make the adaptation, if there is one; called once, after the head was made."""
        if self._adapt is not None:
            self.adaptation = self._adapt(self)
            self._adapt = None  # it may refer to the images, and this network is copied

    def adapting_modules(self) -> list[nn.Module]:
        """Return the modules of the adaptation that train together with the head."""
        return [] if self.adaptation is None else self.adaptation.trained()

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar, without the penalty of an adaptation."""
        return self.loss_of(self.head(self.features_of(batch)), batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss of a batch, a scalar, plus the penalty of an adaptation."""
        if self.adaptation is None:
            output = self.head(self.features_of(batch))
            loss = self.loss_of(output, batch)
        else:
            loss, output = self._adapted(self.adaptation, batch)
        self.log_loss(loss, len(batch["target"]), self.hits(output, batch))
        weight = self._weight(batch_idx)
        return loss if weight == 1 else loss * weight

    def _weight(self, batch_idx: int) -> float:
        """Return the weight of this process's loss.

        DDP averages over processes, and a step over its micro batches; their shares differ by an image.
        """
        loader = self.trainer.train_dataloader
        return 1.0 if self.divides_by_whole_batch or not isinstance(loader, EpochLoader) else loader.weight(batch_idx)

    def _adapted(self, adaptation: Adaptation, batch: Batch) -> tuple[Tensor, Any]:
        """Return the loss with the penalty of the adaptation, and the head's output for the labelled images."""
        progress = adaptation.progress(self.done)
        source, other = adaptation.both(self, batch, idle=progress is None)
        # Before the adaptation starts, its weight is 0, but its trained modules stay in the graph: DDP requires that.
        weight = 0.0 if progress is None else adaptation.weight
        loss = self.loss_of(source.logits, batch) + weight * adaptation.penalty(source, other, progress or 0.0)
        return loss, source.logits

    @property
    def done(self) -> float:
        """The completed fraction of the planned training, in [0, 1], a function of the step."""
        trainer = self.trainer
        per_epoch = math.ceil(int(trainer.num_training_batches) / trainer.accumulate_grad_batches)
        return trainer.global_step / max(per_epoch * (trainer.max_epochs or 1), 1)

    def on_train_epoch_start(self) -> None:
        """Run the adaptation's work of an epoch, after the stage callback."""
        if self.adaptation is not None and (progress := self.adaptation.progress(self.done)) is not None:
            self.adaptation.begin_epoch(self, self.trainer.datamodule, progress)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer for all layer groups of the run; the stage callback sets the learning rates."""
        assert self._make_optimizer is not None, "this task has no optimizer"
        groups = {g: list(self.named_group(g)) for g in self.group_names}
        return self._make_optimizer(groups, not self._sharded and self._may_fuse)

    @property
    def _may_fuse(self) -> bool:
        # Scaled float16 gradients must be unscaled before they are clipped, but fused kernels unscale inside the step.
        # Lightning applies the same rule to bfloat16.
        trainer = trainer_of(self)
        if trainer is None:
            return True
        clipped = trainer.gradient_clip_val is not None
        return trainer.precision != "16-mixed" and not (clipped and trainer.precision == "bf16-mixed")

    def log_loss(self, loss: Tensor, images: int, hits: Tensor | None = None) -> None:
        """Log a batch's loss, a scalar: as `train/batch_loss` and, with the last one, the epoch's mean as `train/loss`.

        If the gradients of several batches make a step, `train/batch_loss` is the mean over the images of all of them.

        If hits are counted, the epoch's `train/accuracy` is logged, too: of augmented images, by the weights of their
        step and with dropout, so it is lower than that of the same images at the end of the epoch.

        `self.log` costs more than a small step, so it is not called for a loss that no logger shows.
        """
        self._mean_loss.add(loss, images, hits)
        trainer = self.trainer
        due = trainer.loggers and (trainer.global_step + 1) % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if due:
            so_far = self._step_loss.add(loss, images, trainer.global_step)  # Lightning logs that of the last batch
            self.log("train/batch_loss", so_far, on_step=True, on_epoch=False)
        if trainer.is_last_batch:
            counted = self._mean_loss.counts_hits
            total, images_seen, right = trainer.strategy.reduce(self._mean_loss.totals(), reduce_op="sum")
            # callbacks/curves.py sends them to the loggers.
            self.log("train/loss", total / images_seen, on_step=False, on_epoch=True, logger=False)
            if counted:
                self.log("train/accuracy", right / images_seen, on_step=False, on_epoch=True, logger=False)

    def carry(self, values: dict[str, Any]) -> None:
        """Store plain values in every checkpoint: the configuration and the description of the network."""
        self.carried = values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add these values to a checkpoint."""
        checkpoint["tlx"] = self.carried

    def epoch_state(self) -> dict[str, float]:
        """Return the sums of this epoch so far, for a run that stops in the middle of it."""
        return self._mean_loss.state()

    def load_epoch_state(self, state: dict[str, float]) -> None:
        """Restore the sums."""
        self._mean_loss.load(state, self.device)
