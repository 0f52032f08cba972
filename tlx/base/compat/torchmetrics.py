"""Private names of torchmetrics."""

from __future__ import annotations

import logging
from importlib import import_module
from types import ModuleType
from typing import Any

# In the order of torchmetrics' own __init__: they import one another.
_FIRST = ("torchmetrics.utilities", "torchmetrics.collections", "torchmetrics.aggregation")

# Names of torchmetrics.utilities.plot that metrics need; the others import matplotlib.
PLOTTING = ("_AX_TYPE", "_PLOT_OUT_TYPE", "plot_single_or_multi_val")
_AX_TYPE = _PLOT_OUT_TYPE = object  # in annotations


def plot_single_or_multi_val(*args: Any, **kwargs: Any) -> Any:
    """Plot as the real function does, which imports matplotlib."""
    module = import_module("torchmetrics.utilities.plot")
    _ = module.plot_curve  # runs the module, which replaces this function
    return module.plot_single_or_multi_val(*args, **kwargs)


def begin(package: ModuleType) -> None:
    """Import what the package's __init__ imports first, instead of running it.

    Args:
        package: `torchmetrics`, whose __init__ has not run.

    Raises:
        ImportError: This version imports other modules first.
        AttributeError: As above.
    """
    package._logger = logging.getLogger("torchmetrics")  # type: ignore[attr-defined]
    for name in _FIRST:
        import_module(name)
