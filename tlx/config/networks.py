"""Let `backbone=NAME` name any network of timm, and `backbone._target_=FUNCTION` a user's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from hydra.core.config_store import ConfigStore

from tlx.backbones.timm_source import timm_names

REGISTERED: set[str] = set()  # networks that were named in this process


def register_timm(overrides: Iterable[str], known: Collection[str]) -> None:
    """Register an option of the group backbone for each network of timm that overrides name.

    Args:
        overrides: As typed.
        known: Names of other options, which have priority.
    """
    for text in overrides:
        key, _, value = text.partition("=")
        if key != "backbone":
            continue
        for name in re.findall(r"[\w.]+", value):
            if name not in known and name.partition(".")[0] in timm_names():
                node = {"_target_": "tlx.backbones.timm_backbone", "name": name, "pretrained": True}
                REGISTERED.add(name)
                ConfigStore.instance().store(group="backbone", name=name, node=node, provider="tlx")


def with_own_network(overrides: list[str]) -> list[str]:
    """Return overrides in which `backbone._target_=FUNCTION` is spelled `backbone=own backbone.target=FUNCTION`."""
    found = next((text for text in overrides if re.match(r"\+*backbone\._target_=(?!tlx\.)[\w.]+$", text)), None)
    if found is None or any(text.startswith("backbone=") for text in overrides):
        return overrides
    own = f"backbone.target={found.partition('=')[2]}"
    return ["backbone=own", *(own if text == found else text for text in overrides)]
