"""Apply overrides to a stored configuration without reading conf/: `tlx test RUN dataset.root=~/pets`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlx.base.errors import TlxError

_KEY = re.compile(r"\+{0,2}\w[\w-]*(\.[\w-]+|\[[\w-]+\])*")


def amended(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the plain values of a configuration after overrides `key=value`. Values are parsed as YAML.

    Raises:
        TlxError: An override cannot be parsed, does not fit the configuration, or refers to a missing key.
    """
    for text in overrides:
        key, equals, _ = text.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise TlxError(f"expected overrides as key=value, got '{text}'")
        try:
            merged: Any = OmegaConf.merge(config, OmegaConf.from_dotlist([text.lstrip("+")]))
            config = merged
            _plain(config)
        except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise TlxError(f"expected key=value with a value that fits there, got '{text}': {why}") from error
    return _plain(config)


def _plain(config: DictConfig) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return dict(values)
