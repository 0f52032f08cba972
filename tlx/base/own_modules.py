"""Let tlx import modules from the working directory that the user has named, and no others.

Python puts the working directory first on the path for `python -m`, and not at all for the command `tlx`. So with the
first an `omegaconf.py`, a `hydra_plugins` or a module that some library tries to import would be imported from there,
no matter who wrote it; with the second the network that the user has just typed would not be found. In both cases tlx
appends the directory to the path when a module is imported that the user has named: for `python -m tlx` by typing it as
a target or by a setting, for `tlx train` and `tlx plan` by typing it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Collection, Sequence
from types import ModuleType

_finder: _Named | None = None


def find_named_modules_in(directory: str) -> None:
    """Find modules that the user names, and that are nowhere else, in a directory that is not on the path."""
    _find_in(directory, _allowed)


def find_typed_modules_in(directory: str, targets: Collection[str]) -> None:
    """Find the modules of dotted paths that the user has typed, unless `find_named_modules_in` finds more."""
    typed = {target.partition(".")[0] for target in targets}
    if typed and _finder is None:
        _find_in(directory, lambda: typed)


def _find_in(directory: str, named: Callable[[], set[str]]) -> None:
    global _finder
    _finder = _Named(directory, named)
    sys.meta_path.append(_finder)


def extend_path_for_named_modules() -> None:
    """Append the working directory to the path if it holds a module that the user has named.

    Children inherit the path, and may be the first to import the module.
    """
    if _finder is not None and _finder.directory not in sys.path and any(map(_finder.holds, _finder.named())):
        sys.path.append(_finder.directory)


class _Named(importlib.abc.MetaPathFinder):
    """The last finder, for modules that no other one has found."""

    def __init__(self, directory: str, named: Callable[[], set[str]]) -> None:
        self.directory = directory
        self.named = named
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
            named = name in self.named()
        finally:
            self._asking = False
        if not named:
            return None
        sys.path.append(self.directory)  # also for what the module itself imports
        return importlib.machinery.PathFinder.find_spec(name, [self.directory])


def _allowed() -> set[str]:
    from tlx.base.allowed import allow_targets

    return {target.partition(".")[0] for target in allow_targets()}
