"""What every task shares: layer groups with a head on top, normalisation, optimizer, which groups train."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tlx.adaptation.base import Adaptation
from tlx.backbones.backbone import Backbone
from tlx.base.gradients import no_gradients
from tlx.strategies.plan import PlannedStage
from tlx.strategies.selectors import HEAD

Owned = tuple[nn.Module, str, nn.Parameter]  # a parameter, the module that owns it, its name there
# Of parameters by layer group, and whether fused kernels may be chosen; `tlx.training.optimizers` has it.
MakeOptimizer = Callable[[Mapping[str, Sequence[Owned]], bool], torch.optim.Optimizer]
Batch = dict[str, Any]  # tensors, and under `unlabelled` a batch of the target domain
# Of BatchNorm statistics that move. torchvision's MobileNetV3 has 0.01, its MNASNet 0.0003, for long trainings: in some
# hundred steps of a transfer such statistics hardly leave what they began with, and evaluation uses them.
_LEAST_MOMENTUM = 0.1


class Task(pl.LightningModule):
    """A backbone and a head that train together.

    Subclasses build `self.head`, set `self.class_names` and define `training_step`, `validation_step` and `test_step`.

    Args:
        backbone: Ordered layer groups, see `Backbone`.
    """

    head: nn.Module
    class_names: list[str]
    head_report = ""  # what of the head was carried over, in words
    carried_classes: Sequence[str] = ()  # whose rows those were
    monitor, mode = "val/loss", "min"  # the logged value that selects the best checkpoint; `max` or `min` of it

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        _quicken_statistics(backbone)
        self.make_optimizer: MakeOptimizer | None = None  # a task that only predicts needs none
        self.adaptation: Adaptation | None = None  # to a target domain
        self.carried: dict[str, Any] = {}  # plain values that every checkpoint takes along
        self.layout = torch.contiguous_format
        self.read_groups: tuple[
            str, ...
        ] = ()  # whose pooled outputs side by side are the features; (): the network's own
        mean, std = backbone.preprocessing.mean, backbone.preprocessing.std
        # Not part of the state: they belong to the preprocessing that model.json holds.
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(1, -1, 1, 1) * 255), persistent=False)
        self.mean: Tensor
        self.scale: Tensor
        self._trained: frozenset[str] = frozenset(self.group_names)
        self._sharded = False
        self._loss_sum: Tensor | None = None  # of this epoch's images so far, on the device
        self._loss_images = 0
        self._batch_norm = "train"

    def set_class_counts(self, counts: Sequence[float]) -> None:
        """Take note of how many training images each class has, before training; a task may weigh by that."""

    # Layer groups

    @property
    def group_names(self) -> list[str]:
        """All layer groups, bottom to top, the head last."""
        return [*self.backbone.group_names, HEAD]

    def group_parameters(self, group: str) -> Iterator[nn.Parameter]:
        """Yield the parameters of a layer group."""
        if group != HEAD:
            yield from self.backbone.group_parameters(group)
            return
        for module in self.group_modules(HEAD):
            yield from module.parameters()

    def group_modules(self, group: str) -> list[nn.Module]:
        """Return the modules whose parameters make up a layer group; what an adaptation trains belongs to the head."""
        if group != HEAD:
            return self.backbone.group_modules(group)
        return [self.head, *(self.adaptation.trained() if self.adaptation is not None else ())]

    @property
    def trainable_parameters(self) -> int:
        """Number of weights that train in this stage; those that groups share count once."""
        # A sharded parameter keeps its gradient flag when frozen, so the flags do not tell.
        trained = {id(p): p.numel() for group in self._trained for p in self.group_parameters(group)}
        return sum(trained.values())

    def train_groups(self, stage: PlannedStage) -> None:
        """Make exactly the groups of a stage trainable; without a gradient no optimizer moves the others."""
        self._trained = frozenset(stage.trained)
        self._batch_norm = stage.batch_norm
        for group in self.group_names:
            trains = group in self._trained
            for parameter in self.group_parameters(group):
                # A sharded parameter's full-size twin keeps the flag that it was made with; see on_after_backward.
                parameter.requires_grad = trains or self._sharded
                if not trains:
                    parameter.grad = None
        self.train(self.training)

    def on_after_backward(self) -> None:
        """Drop what sharded frozen groups gathered, so that no optimizer moves them."""
        if self._sharded:
            for group in set(self.group_names) - self._trained:
                for parameter in self.group_parameters(group):
                    parameter.grad = None

    def configure_model(self) -> None:
        """Shard every layer group by itself (FSDP2) where the strategy says so."""
        if self.device_mesh is None or self._sharded:
            return
        from torch.distributed.fsdp import fully_shard

        self.to(memory_format=torch.contiguous_format)  # shards are rows of contiguous weights
        for group in self.group_names:
            for module in self.group_modules(group):
                if any(True for _ in module.parameters()):
                    fully_shard(module, mesh=self.device_mesh["data_parallel"])
        self._sharded = True
        for parameter in self.parameters():
            parameter.requires_grad = True

    def train(self, mode: bool = True) -> Task:
        """Set training mode, except that a frozen group stays in eval mode: dropout off, BatchNorm statistics still.

        With the BatchNorm policy `frozen` the statistics of trained groups stay still too; with `adapt` those of frozen
        groups follow the new data.
        """
        super().train(mode)
        if mode:
            for group in self.group_names:
                frozen = group not in self._trained
                for module in self.group_modules(group):
                    if frozen:
                        module.eval()
                    _set_batch_norm(module, self._batch_norm, frozen)
        return self

    @no_gradients()
    def set_layout(self, channels_last: bool) -> None:
        """Choose the memory layout of images and of convolution weights."""
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.layout)

    # Adaptation

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

    # Computation

    def normalise(self, image: Tensor) -> Tensor:
        """Return images as the backbone wants them: uint8 (B, C, H, W) to float, mean and std of its preprocessing."""
        image = image.to(self.mean.dtype).sub(self.mean).mul_(self.scale)
        return image.contiguous(memory_format=self.layout)

    def forward(self, image: Tensor) -> Tensor:
        """Return what the head makes of images, uint8 (B, C, H, W) in [0, 255]: (B, num_classes) for classification."""
        return self.head(self.features(image))

    def features(self, image: Tensor) -> Tensor:
        """Return the pooled features of images, uint8 (B, C, H, W) in [0, 255]: (B, num_features), the head's input."""
        x = self.normalise(image)
        if not self.read_groups:
            return self.backbone(x)
        return torch.cat(list(self.backbone.run(x, outputs=self.read_groups, pooled=True).values()), 1)

    def features_of(self, batch: Batch) -> Tensor:
        """Return the pooled features (B, num_features) of a batch: from its images, or from what a prefix made of them.

        `prefix` holds outputs of its groups. The topmost one's is taken as it would be at that place: in the type of
        the weights, unless autocast has it.
        """
        if "prefix" not in batch:
            return self.features(batch["image"])
        boundary = max(batch["prefix"], key=self.backbone.group_names.index)
        prefix, above = batch["prefix"][boundary], self.backbone.above(boundary)
        if not torch.is_autocast_enabled(prefix.device.type):
            prefix = prefix.to(self.mean.dtype)
        return prefix if above is None else self.backbone(prefix, start=above)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer with every layer group in it from the start; the stage callback sets the rates."""
        assert self.make_optimizer is not None, "this task was not given an optimizer"
        groups = {g: list(self.named_group(g)) for g in self.group_names}
        return self.make_optimizer(groups, not self._sharded and self._may_fuse)

    @property
    def _may_fuse(self) -> bool:
        # Gradients that are scaled for float16 are clipped before the step, for which fused kernels are too late; of
        # these Lightning believes the same in bfloat16.
        if self._trainer is None:
            return True
        clipped = self._trainer.gradient_clip_val is not None
        return self._trainer.precision != "16-mixed" and not (clipped and self._trainer.precision == "bf16-mixed")

    def epoch_state(self) -> dict[str, float]:
        """Return what has added up in this epoch so far, for a run that stops in the middle of it."""
        return {"total": 0.0 if self._loss_sum is None else float(self._loss_sum), "weight": float(self._loss_images)}

    def load_epoch_state(self, state: dict[str, float]) -> None:
        """Go on adding up from there."""
        self._loss_sum = torch.tensor(state["total"], device=self.device)
        self._loss_images = int(state["weight"])

    def log_loss(self, loss: Tensor, images: int) -> None:
        """Log a step's loss, a scalar, and at the epoch's last step its mean, as `train/batch_loss` and `train/loss`.

        Lightning's log costs more than a small step: a loss that nobody would see is not given to it.
        """
        if self._loss_sum is None:
            self._loss_sum = torch.zeros((), device=loss.device)
        self._loss_sum.add_(loss.detach(), alpha=images)
        self._loss_images += images
        trainer = self.trainer
        due = trainer.loggers and (trainer.global_step + 1) % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if due or trainer.progress_bar_callback is not None:
            self.log("train/batch_loss", loss.detach(), on_step=True, on_epoch=False, prog_bar=True)
        if trainer.is_last_batch:
            images_seen = torch.full_like(self._loss_sum, self._loss_images)
            total, images_seen = trainer.strategy.reduce(torch.stack([self._loss_sum, images_seen]), reduce_op="sum")
            # Not to the logger: see callbacks/curves.py.
            self.log("train/loss", total / images_seen, on_step=False, on_epoch=True, logger=False)
            self._loss_sum, self._loss_images = None, 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a checkpoint tell by itself what it is."""
        checkpoint["tlx"] = self.carried

    def named_group(self, group: str) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
        """Yield (owning module, name in it, parameter) of a layer group."""
        for module in self.group_modules(group):
            for owner in module.modules():
                for name, parameter in owner.named_parameters(recurse=False):
                    yield owner, name, parameter


def _quicken_statistics(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, _BatchNorm) and part.momentum is not None:  # None: the mean of all steps
            part.momentum = max(part.momentum, _LEAST_MOMENTUM)


def _set_batch_norm(module: nn.Module, policy: str, frozen: bool) -> None:
    if policy == "train":
        return
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.train(policy == "adapt")
