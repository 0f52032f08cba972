"""Names of an optimizer's parameter groups: the layer group's name, and that of its twin without weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_DECAY = "/no_decay"


def layer_group(parameter_group: Mapping[str, Any]) -> str:
    """Return the layer group that an optimizer's parameter group belongs to."""
    return str(parameter_group["name"]).removesuffix(NO_DECAY)
