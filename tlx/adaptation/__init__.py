"""Domain adaptation: penalties in the loss that fit a network to a target domain without labels.

Names are imported on first use, so that importing `tlx.adaptation.keys` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.adaptation.adversary import Cdan, Dann
    from tlx.adaptation.base import Adaptation, Domain
    from tlx.adaptation.confusion import Mcc
    from tlx.adaptation.moments import AdaBn, Coral, Dan
    from tlx.adaptation.self_training import SelfTraining

_HOME = {
    "AdaBn": "moments",
    "Adaptation": "base",
    "Cdan": "adversary",
    "Coral": "moments",
    "Dan": "moments",
    "Dann": "adversary",
    "Domain": "base",
    "Mcc": "confusion",
    "SelfTraining": "self_training",
}

__all__ = ["AdaBn", "Adaptation", "Cdan", "Coral", "Dan", "Dann", "Domain", "Mcc", "SelfTraining"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
