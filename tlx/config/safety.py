"""A configuration that comes out of a file builds only what tlx and the libraries under it define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlx.errors import TlxError

ALLOWED = ("tlx", "torch", "torchvision", "timm", "pytorch_lightning")


def refuse_foreign_targets(node: Any, source: str) -> None:
    """Raise if a node, or one inside it, would instantiate something from elsewhere.

    Raises:
        TlxError: It names the target and the file that it stands in.
    """
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if target is not None and str(target).split(".")[0] not in ALLOWED:
            raise TlxError(f"{source}: expected a _target_ inside {', '.join(ALLOWED)}, got '{target}'")
        for value in node.values():
            refuse_foreign_targets(value, source)
    elif isinstance(node, list | tuple):
        for value in node:
            refuse_foreign_targets(value, source)
