"""Private names of Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl as ConfigLoader  # with `repository`, the files' options
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

__all__ = ["BasicSweeper", "ConfigLoader", "apply_overrides"]


def apply_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Set, in a configuration that is composed already, what overrides of values say."""
    ConfigLoader._apply_overrides_to_config(list(overrides), config)


def __getattr__(name: str) -> Any:
    # When Hydra looks for plugins it executes this module again. A class from before would not find its own base then.
    if name == "BasicSweeper":
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        return BasicSweeper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
