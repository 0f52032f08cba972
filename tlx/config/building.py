"""Build what a node names with its `_target_`."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tlx.errors import TlxError


def build_node(node: Any, **arguments: Any) -> Any:
    """Return what Hydra's `instantiate` makes of a node.

    Raises:
        TlxError: As the target raised it, which Hydra would hide in an error of its own; or there is no such target.
    """
    try:
        return instantiate(node, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, TlxError):
            raise error.__cause__ from None
        if str(error).startswith("Error locating target"):
            raise TlxError(f"expected a _target_ that can be imported, got: {str(error).strip()}") from error
        raise
