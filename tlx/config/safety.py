"""A configuration that comes out of a file builds only networks, data and tasks of tlx and the libraries under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

from tlx.errors import TlxError

ALLOWED = ("tlx.backbones", "tlx.data", "tlx.tasks", "torch.nn", "torchvision.models", "timm.models")


def refuse_foreign_targets(node: Any, source: str) -> None:
    """Raise if a node, or one inside it, would instantiate something from elsewhere.

    Where a thing is defined counts, not the path that leads to it: `torch.os.system` is a path inside torch.

    Raises:
        TlxError: It names the target and the file that it stands in.
    """
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if target is not None and not _is_ours(str(target)):
            raise TlxError(f"{source}: expected a _target_ defined in {', '.join(ALLOWED)}, got '{target}'")
        for value in node.values():
            refuse_foreign_targets(value, source)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            refuse_foreign_targets(value, source)


def _is_ours(target: str) -> bool:
    if not _inside(target):  # first: looking a path up imports its modules
        return False
    try:
        return _inside(str(getattr(resolve_name(target), "__module__", "")))
    except (ImportError, AttributeError, ValueError):
        return False


def _inside(path: str) -> bool:
    return any(f"{path}.".startswith(f"{package}.") for package in ALLOWED)
