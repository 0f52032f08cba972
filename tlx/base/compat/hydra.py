"""Private names of Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl as ConfigLoader  # has `repository`, the option files
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

__all__ = ["BasicSweeper", "ConfigLoader", "apply_overrides"]


def apply_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Apply overrides of values to a configuration that is already composed."""
    ConfigLoader._apply_overrides_to_config(list(overrides), config)


def __getattr__(name: str) -> Any:
    # Hydra executes the module of this class again when it looks for plugins, which makes a second class of that name.
    # So the class is looked up at each use.
    if name == "BasicSweeper":
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        return BasicSweeper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
