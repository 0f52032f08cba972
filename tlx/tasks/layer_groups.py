"""A network whose layer groups can train or stay frozen, for any task."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import nn

from tlx.backbones.backbone import Backbone
from tlx.base.compat.torch import BatchNorm
from tlx.base.gradients import no_gradients
from tlx.strategies.plan import PlannedStage

Owned = tuple[nn.Module, str, nn.Parameter]  # (module that owns the parameter, its name there, the parameter)
# Of BatchNorm statistics. torchvision's MobileNetV3 has 0.01, its MNASNet 0.0003, for long trainings. In the few
# hundred steps of a transfer such statistics would hardly leave their initial values, and evaluation uses them.
_LEAST_MOMENTUM = 0.1


class LayerGroups(pl.LightningModule):
    """Layer groups from bottom to top: those of the backbone, then the upper ones, which a subclass defines.

    Args:
        backbone: Ordered layer groups, see `Backbone`.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        _quicken_statistics(backbone)
        self.memory_format = torch.contiguous_format
        self._trained: frozenset[str] | None = None  # None: every group, until a stage selects some
        self._batch_norm = "train"
        self._sharded = False
        self._learning: tuple[nn.Parameter, ...] | None = None  # weights of the trained groups; None: of all

    @property
    def upper_groups(self) -> tuple[str, ...]:
        """The layer groups above the backbone, bottom to top."""
        raise NotImplementedError

    def upper_modules(self, group: str) -> list[nn.Module]:
        """Return the modules of a layer group above the backbone."""
        raise NotImplementedError

    @property
    def group_names(self) -> list[str]:
        """All layer groups, bottom to top."""
        return [*self.backbone.group_names, *self.upper_groups]

    def group_modules(self, group: str) -> list[nn.Module]:
        """Return the modules of a layer group."""
        return self.upper_modules(group) if group in self.upper_groups else self.backbone.group_modules(group)

    def group_parameters(self, group: str) -> Iterator[nn.Parameter]:
        """Yield the parameters of a layer group."""
        if group not in self.upper_groups:
            yield from self.backbone.group_parameters(group)
            return
        for module in self.upper_modules(group):
            yield from module.parameters()

    def named_group(self, group: str) -> Iterator[Owned]:
        """Yield (owning module, name in it, parameter) of a layer group."""
        for module in self.group_modules(group):
            for owner in module.modules():
                for name, parameter in owner.named_parameters(recurse=False):
                    yield owner, name, parameter

    def trains(self, group: str) -> bool:
        """Return whether a layer group trains in this stage."""
        return self._trained is None or group in self._trained

    @property
    def trainable_parameters(self) -> int:
        """Number of weights that train in this stage; weights that groups share count once."""
        # A sharded parameter keeps its gradient flag when it is frozen, so the flags do not say which train.
        trained = {id(p): p.numel() for group in self.group_names if self.trains(group)
                   for p in self.group_parameters(group)}  # fmt: skip
        return sum(trained.values())

    def train_groups(self, stage: PlannedStage) -> None:
        """Make exactly the groups of a stage trainable; the others get no gradient, so no optimizer changes them."""
        self._trained = frozenset(stage.trained)
        self._batch_norm = stage.batch_norm
        self._learning = tuple(p for group in stage.trained for p in self.group_parameters(group))
        for group in self.group_names:
            for parameter in self.group_parameters(group):
                # FSDP's unsharded copy of a parameter keeps the flag it was created with; see on_after_backward.
                parameter.requires_grad = self.trains(group) or self._sharded
                if not self.trains(group):
                    parameter.grad = None
        self.train(self.training)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Reset the gradients of the groups that train; frozen groups have none, and are most of the network."""
        if self._learning is None or self._sharded:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)
            return
        for parameter in self._learning:
            parameter.grad = None

    def train(self, mode: bool = True) -> LayerGroups:
        """Set training mode; frozen groups stay in eval mode: dropout is off, BatchNorm statistics stay constant.

        With the BatchNorm policy `frozen`, the statistics of trained backbone groups stay constant, too; with `adapt`,
        those of frozen groups adapt to the new data. The policy is about loaded weights: BatchNorm of a new group above
        the backbone trains with the group.
        """
        super().train(mode)
        if mode:
            for group in self.group_names:
                for module in self.group_modules(group):
                    if not self.trains(group):
                        module.eval()
                    if group not in self.upper_groups:
                        _set_batch_norm(module, self._batch_norm)
        return self

    @no_gradients()
    def set_memory_format(self, channels_last: bool) -> None:
        """Set the memory format of images and of convolution weights."""
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)

    # Sharding (FSDP2)

    def configure_model(self) -> None:
        """Shard every layer group separately if the trainer's strategy shards."""
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

    def on_after_backward(self) -> None:
        """Discard the gradients of sharded frozen groups, so that no optimizer changes their weights."""
        if self._sharded:
            for group in self.group_names:
                for parameter in self.group_parameters(group) if not self.trains(group) else ():
                    parameter.grad = None


def _quicken_statistics(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, BatchNorm) and part.momentum is not None:  # None: the mean of all steps
            part.momentum = max(part.momentum, _LEAST_MOMENTUM)


def _set_batch_norm(module: nn.Module, policy: str) -> None:
    if policy == "train":
        return
    for part in module.modules():
        if isinstance(part, BatchNorm):
            part.train(policy == "adapt")
