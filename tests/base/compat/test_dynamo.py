"""What tlx puts in the place of names of torch's compiler fits the real ones; tests/base/test_imports.py runs both."""

from __future__ import annotations

from inspect import isfunction, signature

import torch
import torchmetrics.utilities.plot as plots

from tlx.base.compat import dynamo
from tlx.base.compat import torchmetrics as compat


def test_they_take_what_the_real_ones_take() -> None:
    """Guards against a version of torch that calls a name in another way, or has none of that name."""
    torch.compiler.reset()  # imports all of it
    real = {**vars(torch._dynamo), **vars(torch._dynamo.utils), **vars(torch._dynamo.trace_rules)}
    for name in (*dynamo.NAMES, *dynamo.NAMES_OF_UTILS, *dynamo.NAMES_OF_TRACE_RULES):
        mine = getattr(dynamo, name)
        assert real[name] is not mine
        if isfunction(mine):
            assert list(signature(mine).parameters) == list(signature(real[name]).parameters)


def test_a_function_is_disabled_once_there_are_graphs() -> None:
    """Guards against an optimizer step that becomes part of a graph because it was called before the compiler came."""
    calls: list[int] = []
    first = dynamo.disable(calls.append)
    first(1)
    assert calls == [1]
    assert isinstance(torch.compile(torch.nn.Identity(), backend="eager"), dynamo.OptimizedModule)
    assert not isinstance(torch.nn.Identity(), dynamo.OptimizedModule)
    dynamo.graph_break()


def test_torchmetrics_has_the_names_of_its_plots() -> None:
    """Guards against metrics that request another name of the module and so import all of matplotlib."""
    assert all(hasattr(plots, name) and hasattr(compat, name) for name in compat.PLOTTING)
