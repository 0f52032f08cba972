"""What every way of adapting shares: a batch of each domain goes through the network, a penalty compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tlx.backbones.backbone import Backbone
from tlx.base.errors import TlxError

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule


class Network(Protocol):
    """What an adaptation needs of the network that it adapts; a task is one."""

    __call__: Callable[..., Any]  # images (B, C, H, W) to the head's output (B, K)
    backbone: Backbone
    head: nn.Module
    class_names: list[str]
    mean: Tensor  # on the network's device

    def features_of(self, batch: dict[str, Any]) -> Tensor:
        """Return the pooled features (B, F) of a batch."""

    def modules(self) -> Iterator[nn.Module]:
        """Yield every module of it."""

    def train(self, mode: bool = True) -> Any:
        """Be in training mode, or not."""

    def eval(self) -> Any:
        """Be in eval mode."""


@dataclass(frozen=True)
class Domain:
    """What the network makes of a batch of one domain.

    Args:
        features: Pooled features (B, F), the head's input.
        logits: The head's output (B, K).
        index: Places of the images in their split (B,).
    """

    features: Tensor
    logits: Tensor
    index: Tensor


class Adaptation(nn.Module):
    """A penalty on what a network makes of the source and of the target domain, and how both go through it.

    Subclasses define `penalty`. Nothing here is given a label of the target domain.

    Args:
        weight: Factor of the penalty in the loss.
        start: Part of the training, in [0, 1), before which the penalty does not count: on the source alone until then.
        batch_norm: `separate`: each domain is normalised with the statistics of its own batch, and those that are kept
            for evaluation are the target's. `joint`: one batch of both, one set of statistics.
    """

    needs_gradient = True  # whether the penalty depends on the target's batch; else only its statistics are of use

    def __init__(self, weight: float = 1.0, start: float = 0.0, batch_norm: str = "separate") -> None:
        super().__init__()
        self.weight, self.start, self.batch_norm = weight, start, batch_norm

    def build(self, task: Network, data: ImageDataModule) -> None:
        """Make what depends on the network and the images; called once, before training.

        Raises:
            TlxError: The network has nothing to adapt.
        """

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the penalty, a scalar, for a batch of each domain.

        Args:
            source: Of the source domain.
            target: Of the target domain.
            progress: Part of the adaptation that is done, in [0, 1].
        """
        raise NotImplementedError

    def trained(self) -> list[nn.Module]:
        """Return the modules of its own that train, together with the head."""
        return []

    def begin_epoch(self, task: Network, data: ImageDataModule, progress: float) -> None:
        """Do what is done once an epoch, before its first step."""

    def progress(self, done: float) -> float | None:
        """Return the part of the adaptation that is over when `done` of the training is; None before it begins."""
        return None if done < self.start else min(1.0, (done - self.start) / (1 - self.start))

    def both(self, task: Network, batch: dict[str, Any], idle: bool = False) -> tuple[Domain, Domain]:
        """Run the batches of both domains through the network.

        Args:
            task: The network.
            batch: Of the source domain, with one of the target domain as its `unlabelled`.
            idle: Whether the penalty does not count yet: of the target's batch only the statistics are of use then.
        """
        other = batch["unlabelled"]
        if self.batch_norm == "joint":
            features = task.features_of(_joined(batch, other))
            logits = task.head(features)
            count = len(batch["target"])
            return (
                Domain(features[:count], logits[:count], batch["index"]),
                Domain(features[count:], logits[count:], other["index"]),
            )
        with _statistics_kept(task):
            source = _domain(task, batch)
        # What trains besides the network has to stay in the graph: DDP waits for its gradients.
        needed = self.needs_gradient and not (idle and not self.trained())
        with nullcontext() if needed else torch.no_grad():
            return source, _domain(task, other)


def widened(x: Tensor) -> Tensor:
    """Return a tensor of any shape: half precision as float32, other types as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def entropy(p: Tensor) -> Tensor:
    """Return the entropy (B,), in nats, of probabilities (B, K)."""
    return -(p * p.clamp(min=1e-12).log()).sum(-1)


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return one batch of the images of two, or of what a prefix made of them."""
    if "prefix" not in one:
        return {"image": torch.cat([one["image"], other["image"]])}
    return {"prefix": {group: torch.cat([rows, other["prefix"][group]]) for group, rows in one["prefix"].items()}}


def _domain(task: Network, batch: dict[str, Any]) -> Domain:
    features = task.features_of(batch)
    return Domain(features, task.head(features), batch["index"])


@contextmanager
def _statistics_kept(task: Network) -> Iterator[None]:
    """Let BatchNorm layers normalise with the batch, as in training, and leave what they keep for evaluation alone."""
    layers = [m for m in task.modules() if isinstance(m, _BatchNorm) and m.training]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def need_batch_norm(task: Network, name: str) -> None:
    """Refuse networks whose statistics cannot be adapted.

    Raises:
        TlxError: There is no BatchNorm layer.
    """
    if not any(isinstance(module, _BatchNorm) for module in task.backbone.modules()):
        known = str(task.backbone.architecture.get("name", "this network"))
        raise TlxError(
            f"strategy={name}: expected a backbone with BatchNorm layers, got {known}, which has none; "
            "coral, dan, dann, cdan, mcc and self_training need none"
        )
