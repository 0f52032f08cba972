"""Compose configurations that differ only in values once: Hydra takes 0.1 s for each, and a sweep has hundreds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, open_dict, read_write

from tlx.base.compat.hydra import apply_overrides, registered_nodes

_Kept = dict[tuple[str, ...], DictConfig]
_SHARED_AT_MOST = 64
_shared: _Kept = {}
_nodes: list[object] = []  # the registered options that `_shared` was composed of


class Compositions:
    """Composes as `load` does, and caches one configuration for each choice of options.

    Args:
        load: Composes a list of overrides; 0.1 s.
        groups: Names of the groups. Their options decide which files are read.
        kept: What has been composed before in the same way; it is added to.
    """

    def __init__(
        self, load: Callable[[list[str]], DictConfig], groups: Sequence[str], kept: _Kept | None = None
    ) -> None:
        self.load, self.groups = load, groups
        self._kept: _Kept = {} if kept is None else kept

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration without Hydra's own node.

        Raises:
            HydraException: As `load` raises it.
        """
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        values = [override for override in parsed if self._is_value(override)]
        others = tuple(text for text, override in zip(overrides, parsed, strict=True) if override not in values)
        if any(text.startswith("~") for text in others):  # may delete what a value adds: the order matters
            return _without_hydra(self.load(list(overrides)))
        if others not in self._kept:
            self._kept[others] = _without_hydra(self.load(list(others)))
        config = copy.deepcopy(self._kept[others])
        apply_overrides(values, config)
        return config

    def _is_value(self, override: Override) -> bool:
        key = override.key_or_group
        return (
            override.type in (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD)
            and override.package is None
            and key not in self.groups
            and key.partition(".")[0].partition("/")[0] != "hydra"
        )


def shared(overrides: Sequence[str]) -> _Kept | None:
    """Return what this process has composed of the options of conf/ alone; None if overrides let Hydra read others."""
    if any(text.lstrip("+").startswith("hydra.searchpath") for text in overrides):
        return None
    registered = registered_nodes()
    if len(registered) != len(_nodes) or any(a is not b for a, b in zip(registered, _nodes, strict=True)):
        _shared.clear()
        _nodes[:] = registered
    while len(_shared) > _SHARED_AT_MOST:
        del _shared[next(iter(_shared))]
    return _shared


def _without_hydra(config: DictConfig) -> DictConfig:
    with read_write(config), open_dict(config):
        config.pop("hydra", None)
    return config
