"""Take over rows of a linear head from the head of a finished run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from tlx.backbones.report import HeadSource


def take_over(linear: nn.Linear, class_names: Sequence[str], source: HeadSource) -> list[str]:
    """Copy rows of a run's head into a new one by class name; return the classes whose rows were copied.

    Args:
        linear: The new head, (K, F); rows of other classes are left unchanged.
        class_names: Its K classes, in the order of the rows.
        source: The head of the run; nothing is copied if it reads another number of features.
    """
    if source.weight.shape[1] != linear.in_features:
        return []
    shared = [name for name in class_names if name in source.class_names]
    with torch.no_grad():
        for name in shared:
            row, old = class_names.index(name), source.class_names.index(name)
            linear.weight[row] = source.weight[old].to(linear.weight.dtype)
            linear.bias[row] = source.bias[old].to(linear.bias.dtype)
    return shared


def report(class_names: Sequence[str], shared: Sequence[str]) -> str:
    """Return one line about the classes that were taken over and the new ones."""
    new = ", ".join(name for name in class_names if name not in shared) or "none"
    return f"head: {len(shared)} of {len(class_names)} classes carried over by name; new: {new}"
