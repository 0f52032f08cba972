"""Gradient checkpointing: a layer group keeps its input for the backward pass, and runs again to get the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tlx.backbones.block_arguments import Carried, plain
from tlx.base.compat.torch import NormBase


def recomputed(group: nn.Module, x: Tensor | Carried) -> Tensor | Carried:
    """Return the output of a layer group for the input `x` (B, …), of which the group keeps nothing else.

    The backward pass runs the group again, with the same random numbers (dropout, stochastic depth). BatchNorm
    statistics move only the first time. Where nothing needs a gradient, the group runs as usual.
    Chen et al. (2016), Training Deep Nets with Sublinear Memory Cost, section 4.
    """
    trains = plain(x).requires_grad or any(parameter.requires_grad for parameter in group.parameters())
    if not trains or not torch.is_grad_enabled():
        output: Tensor | Carried = group(x)
        return output

    def run(x: Tensor | Carried) -> Tensor | Carried:
        # The copy, which is not kept, is what a group may change in place: the input must be the same the second time.
        found: Tensor | Carried = group(Carried(x.output.clone(), x.arguments) if isinstance(x, Carried) else x.clone())
        return found

    again: Tensor | Carried = checkpoint(
        run, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(group))
    )
    return again


@contextmanager
def _statistics_kept(group: nn.Module) -> Iterator[None]:
    """Normalise by the statistics of the batch where the group trains, and leave the running ones as they are.

    A momentum of 0 changes nothing in them. They stay in the computation, which has to keep the same tensors again.
    """
    moving = [one for one in group.modules() if isinstance(one, NormBase) and one.training and one.track_running_stats]
    before = [(one.momentum, one.num_batches_tracked) for one in moving]
    for one in moving:
        one.momentum, one.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for one, (momentum, batches) in zip(moving, before, strict=True):
            one.momentum, one.num_batches_tracked = momentum, batches
