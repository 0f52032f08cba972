"""The base of all adaptations: run a batch of each domain through the network, compare them with a penalty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.base.compat.torch import BatchNorm
from tlx.base.errors import TlxError

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule


class Network(Protocol):
    """The interface of the network that an adaptation adapts; a task implements it."""

    __call__: Callable[..., Any]  # from images (B, C, H, W) to the head's output (B, K)
    backbone: Backbone
    head: nn.Module
    class_names: list[str]
    mean: Tensor  # on the network's device

    def features_of(self, batch: dict[str, Any]) -> Tensor:
        """Return the pooled features (B, F) of a batch."""

    def modules(self) -> Iterator[nn.Module]:
        """Yield all modules."""

    def train(self, mode: bool = True) -> Any:
        """Set training mode on or off."""

    def eval(self) -> Any:
        """Set eval mode."""


@dataclass(frozen=True)
class Domain:
    """The network's outputs for a batch of one domain.

    Args:
        features: Pooled features (B, F), the head's input.
        logits: The head's output (B, K).
        index: Indices of the images in their split (B,).
    """

    features: Tensor
    logits: Tensor
    index: Tensor


class Adaptation(nn.Module):
    """A penalty on the network's outputs for the source and the target domain, and the forward pass of both.

    Subclasses define `penalty`. No method receives labels of the target domain.

    Args:
        weight: Factor of the penalty in the loss.
        start: Fraction of the training, in [0, 1), before which only the source counts, without the penalty.
        batch_norm: `separate`: each domain is normalised with the statistics of its own batch, and the target's
            statistics are kept for evaluation. `joint`: both domains form one batch with one set of statistics.
    """

    needs_gradient = True  # whether the penalty depends on the target's batch; if not, only its statistics are used

    def __init__(self, weight: float = 1.0, start: float = 0.0, batch_norm: str = "separate") -> None:
        super().__init__()
        self.weight, self.start, self.batch_norm = weight, start, batch_norm

    def build(self, task: Network, data: ImageDataModule) -> None:
        """Make the parts that depend on the network and the images; called once, before training.

        Raises:
            TlxError: The network has nothing to adapt.
        """

    def penalty(self, source: Domain, target: Domain, progress: float) -> Tensor:
        """Return the penalty, a scalar, for a batch of each domain.

        Args:
            source: Outputs for the source domain.
            target: Outputs for the target domain.
            progress: Completed fraction of the adaptation, in [0, 1].
        """
        raise NotImplementedError

    def trained(self) -> list[nn.Module]:
        """Return the adaptation's own modules that train together with the head."""
        return []

    def begin_epoch(self, task: Network, data: ImageDataModule, progress: float) -> None:
        """Run the work of an epoch, before its first step."""

    def progress(self, done: float) -> float | None:
        """Return the completed fraction of the adaptation from that of the training, `done`; None before it starts."""
        return None if done < self.start else min(1.0, (done - self.start) / (1 - self.start))

    def both(self, task: Network, batch: dict[str, Any], idle: bool = False) -> tuple[Domain, Domain]:
        """Run the batches of both domains through the network.

        Args:
            task: The network.
            batch: Batch of the source domain, with a batch of the target domain under `unlabelled`.
            idle: Whether the penalty does not count yet, so that only the statistics of the target's batch are used.
        """
        other = batch["unlabelled"]
        if self.batch_norm == "joint":
            features = task.features_of(_joined(batch, other))
            logits = task.head(features)
            count = len(batch["index"])
            return (
                Domain(features[:count], logits[:count], batch["index"]),
                Domain(features[count:], logits[count:], other["index"]),
            )
        with _statistics_kept(task):
            source = _domain(task, batch)
        # The adaptation's own trained modules have to stay in the graph: DDP waits for their gradients.
        needed = self.needs_gradient and not (idle and not self.trained())
        with nullcontext() if needed else torch.no_grad():
            return source, _domain(task, other)


def widened(x: Tensor) -> Tensor:
    """Return a tensor of any shape with half precision converted to float32 and other types unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def entropy(p: Tensor) -> Tensor:
    """Return the entropy (B,), in nats, of probabilities (B, K)."""
    return -(p * p.clamp(min=1e-12).log()).sum(-1)


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return two batches concatenated, of images or of cached outputs of a prefix."""
    if "prefix" not in one:
        return {"image": torch.cat([one["image"], other["image"]])}
    return {"prefix": {group: torch.cat([rows, other["prefix"][group]]) for group, rows in one["prefix"].items()}}


def _domain(task: Network, batch: dict[str, Any]) -> Domain:
    features = task.features_of(batch)
    return Domain(features, task.head(features), batch["index"])


@contextmanager
def _statistics_kept(task: Network) -> Iterator[None]:
    """Let BatchNorm layers normalise with the batch, as in training, without updating the running statistics."""
    layers = [m for m in task.modules() if isinstance(m, BatchNorm) and m.training]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def need_batch_norm(task: Network, name: str) -> None:
    """Refuse a network without BatchNorm statistics to adapt.

    Raises:
        TlxError: There is no BatchNorm layer.
    """
    if not any(isinstance(module, BatchNorm) for module in task.backbone.modules()):
        known = str(task.backbone.architecture.get("name", "this network"))
        raise TlxError(
            f"strategy={name}: expected a backbone with BatchNorm layers, got {known}, which has none; "
            "coral, dan, dann, cdan, mcc and self_training need none"
        )
