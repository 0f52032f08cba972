"""Find the linear layer of a finished run's head."""

from __future__ import annotations

from dataclasses import replace

import torch

from tlx.backbones.report import UpperSource


def last_layer(source: UpperSource) -> UpperSource:
    """Return the last linear layer of a run's head under the names that it has in a new head.

    Heads of other versions have other names and perhaps no bias. The result has no weights if the head is not linear,
    such as a classical classifier.
    """
    head = {key: value for key, value in source.state.items() if key.startswith("head.")}
    weights = [key for key, value in head.items() if key.endswith("weight") and value.ndim == 2]
    if not weights:
        return replace(source, state={})
    weight = head[weights[-1]].float()
    bias = head.get(weights[-1].removesuffix("weight") + "bias")
    bias = torch.zeros(len(weight)) if bias is None else bias.float()
    return replace(source, state={"head.1.weight": weight, "head.1.bias": bias})
