"""Private names of OmegaConf."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def raw_node(config: DictConfig | ListConfig, key: Any) -> Any:
    """Return the node at a key without resolving its reference."""
    return config._get_node(key)


def reference(config: DictConfig | ListConfig, key: Any) -> str:
    """Return the text of the reference at a key, such as `${seed}`."""
    return str(raw_node(config, key)._value())


def has_values(node: Any) -> bool:
    """Return whether a node is a dict or list, neither null nor a reference."""
    if not isinstance(node, DictConfig | ListConfig):
        return False
    return not node._is_none() and not OmegaConf.is_interpolation(node)
