"""Private names of torchmetrics."""

from __future__ import annotations

import logging
from importlib import import_module
from types import ModuleType

# In the order of torchmetrics' own __init__: they import one another.
_FIRST = ("torchmetrics.utilities", "torchmetrics.collections", "torchmetrics.aggregation")


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
