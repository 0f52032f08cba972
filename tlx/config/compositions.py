"""Compose configurations that differ only in values once: Hydra takes 0.1 s for each, and a sweep has hundreds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, open_dict, read_write

from tlx.base.compat.hydra import apply_overrides


class Compositions:
    """Composes as `load` does, and caches one configuration for each choice of options.

    Args:
        load: Composes a list of overrides; 0.1 s.
        groups: Names of the groups. Their options decide which files are read.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], groups: Sequence[str]) -> None:
        self.load, self.groups = load, groups
        self._kept: dict[tuple[str, ...], DictConfig] = {}

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


def _without_hydra(config: DictConfig) -> DictConfig:
    with read_write(config), open_dict(config):
        config.pop("hydra", None)
    return config
