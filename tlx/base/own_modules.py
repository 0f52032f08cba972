"""Modules of the user's own in the working directory, which `python -m tlx` finds, and nothing else there.

`python -m` puts the working directory in front of all other places. An `omegaconf.py`, a `hydra_plugins` or a module
that some library tries to import would be taken from there, whoever wrote it. So the directory is taken off the path,
and put at its end once a module is asked for that the user has named: by typing it as a `_target_`, or by a setting.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_finder: _Named | None = None


def find_named_ones_in(directory: str) -> None:
    """Have modules that the user names found in a directory that is not on the path, where nothing else has them."""
    global _finder
    _finder = _Named(directory)
    sys.meta_path.append(_finder)


def look_for_named_ones() -> None:
    """Put the working directory at the end of the path if it holds a module that the user has named.

    For the path of children, which may be the first to import it.
    """
    if _finder is not None and _finder.directory not in sys.path and any(map(_finder.holds, _named())):
        sys.path.append(_finder.directory)


class _Named(importlib.abc.MetaPathFinder):
    """Asked last, for what nobody else has found."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._asking = False

    def holds(self, name: str) -> bool:
        """Whether a module of that name lies in the directory."""
        return importlib.machinery.PathFinder.find_spec(name, [self.directory]) is not None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or self._asking or self.directory in sys.path or not self.holds(name):
            return None
        self._asking = True  # what the settings are read with may itself look for modules that are not there
        try:
            asked_for = name in _named()
        finally:
            self._asking = False
        if not asked_for:
            return None
        sys.path.append(self.directory)  # for what the module itself imports, too
        return importlib.machinery.PathFinder.find_spec(name, [self.directory])


def _named() -> set[str]:
    from tlx.base.allowed import allow_targets

    return {target.partition(".")[0] for target in allow_targets()}
