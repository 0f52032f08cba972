"""The keys of each adaptation, and its requirements for a task. Importing this module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tlx.base.fields import POSITIVE, within


@dataclass
class AdaptationKeys:
    """Keys that all adaptations share."""

    _target_: str
    weight: float = field(default=1.0, metadata=within(0, 1_000_000))
    start: float = field(default=0.0, metadata=within(0, 0.99))
    batch_norm: Literal["separate", "joint"] = "separate"


@dataclass
class AdaBnKeys:
    """BatchNorm statistics of the target; there are no options."""

    _target_: str


@dataclass
class DanKeys(AdaptationKeys):
    """Maximum mean discrepancy."""

    kernels: int = field(default=5, metadata=within(1, 100))


@dataclass
class DannKeys(AdaptationKeys):
    """A domain discriminator."""

    hidden: int = field(default=256, metadata=within(1, 100_000))
    slope: float = field(default=10.0, metadata=within(0, 10_000, open_low=True))


@dataclass
class CdanKeys(DannKeys):
    """A domain discriminator that also reads predictions."""

    entropy: bool = True


@dataclass
class MccKeys(AdaptationKeys):
    """Minimum class confusion."""

    temperature: float = field(default=2.5, metadata=POSITIVE)


@dataclass
class SelfTrainingKeys(AdaptationKeys):
    """Pseudo-labels."""

    start: float = field(default=0.4, metadata=within(0, 0.99))
    portion_start: float = field(default=0.3, metadata=within(0, 1, open_low=True))
    portion_end: float = field(default=0.9, metadata=within(0, 1, open_low=True))


ADAPTATIONS: dict[str, type] = {
    "tlx.adaptation.AdaBn": AdaBnKeys,
    "tlx.adaptation.Coral": AdaptationKeys,
    "tlx.adaptation.Dan": DanKeys,
    "tlx.adaptation.Dann": DannKeys,
    "tlx.adaptation.Cdan": CdanKeys,
    "tlx.adaptation.Mcc": MccKeys,
    "tlx.adaptation.SelfTraining": SelfTrainingKeys,
}
# These need class scores (B, K); the others but AdaBN need pooled features (B, F).
OF_CLASS_SCORES = frozenset(f"tlx.adaptation.{name}" for name in ("Dan", "Cdan", "Mcc", "SelfTraining"))
OF_POOLED_FEATURES = frozenset(f"tlx.adaptation.{name}" for name in ("Coral", "Dann"))
