"""Let `python -m tlx` import modules from the working directory that the user has named, and no others.

`python -m` puts the working directory first on the path. So an `omegaconf.py`, a `hydra_plugins` or a module that some
library tries to import would be imported from there, no matter who wrote it. tlx removes the directory from the path,
and appends it when a module is imported that the user has named, by typing it as a `_target_` or by a setting.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_finder: _Named | None = None


def find_named_modules_in(directory: str) -> None:
    """Find modules that the user names, and that are nowhere else, in a directory that is not on the path."""
    global _finder
    _finder = _Named(directory)
    sys.meta_path.append(_finder)


def extend_path_for_named_modules() -> None:
    """Append the working directory to the path if it holds a module that the user has named.

    Children inherit the path, and may be the first to import the module.
    """
    if _finder is not None and _finder.directory not in sys.path and any(map(_finder.holds, _named())):
        sys.path.append(_finder.directory)


class _Named(importlib.abc.MetaPathFinder):
    """The last finder, for modules that no other one has found."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._asking = False

    def holds(self, name: str) -> bool:
        """Return whether the directory holds a module of that name."""
        return importlib.machinery.PathFinder.find_spec(name, [self.directory]) is not None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or self._asking or self.directory in sys.path or not self.holds(name):
            return None
        self._asking = True  # reading the settings may itself look for modules that do not exist
        try:
            named = name in _named()
        finally:
            self._asking = False
        if not named:
            return None
        sys.path.append(self.directory)  # also for what the module itself imports
        return importlib.machinery.PathFinder.find_spec(name, [self.directory])


def _named() -> set[str]:
    from tlx.base.allowed import allow_targets

    return {target.partition(".")[0] for target in allow_targets()}
