"""What a process of tlx's own sees to before it imports torch, Lightning and torchmetrics.

pytorch_lightning imports torchmetrics for three classes, and its `__init__` imports everything else: seconds of every
start. Here the package is there at once, and its `__init__` is executed, as it is, when a name is asked of it that
needs it. So whoever uses torchmetrics, the user's own code included, finds all of it.

Python's garbage collector runs again and again while packages are imported, which takes a quarter of the time and
frees nothing. Here it is off meanwhile, and what has been imported is frozen: the collector leaves it out from then on.

torch's threads (GNU OpenMP) wait for one another in a loop that keeps a core for milliseconds. Where other processes
want the cores too, parallel jobs of a sweep for one, each waits for one that waits: steps of one millisecond took
forty. Here they loop for a fraction of one, then sleep.
"""

from __future__ import annotations

import atexit
import gc
import importlib.abc
import importlib.machinery
import os
import sys
import threading
from collections.abc import Collection, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from tlx.base.compat import torchmetrics
from tlx.base.compat.python import SEARCHES

# Name -> the module it is in: what Lightning and tlx ask of the packages themselves.
EARLY: dict[str, dict[str, str]] = {
    "torchmetrics": {
        "Metric": "torchmetrics.metric",
        "MetricCollection": "torchmetrics.collections",
        "MeanMetric": "torchmetrics.aggregation",
        "__version__": "torchmetrics.__about__",
    },
    "torchmetrics.functional": {},
}
# Those that import the most: the others come with one of them.
LARGE = ("tlx.train", "tlx.procedures.stages", "torch", "torchvision", "pytorch_lightning", "timm", "sklearn")
_EXECUTED_FOR = ("__all__", "__version__")  # of the names with underscores; whoever looks at all modules asks others
_LOCK = threading.RLock()


def start_lean() -> None:
    """Have packages imported, and threads wait, as described above; what is there or set already is left alone."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "10000"
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder({} if "torchmetrics" in sys.modules else EARLY))


class _Package(ModuleType):
    """A package whose `__init__` waits until it is needed."""

    _begun = False

    def __getattr__(self, name: str) -> Any:
        module = EARLY[self.__name__].get(name)
        if module is not None:
            value = getattr(import_module(module), name)
            setattr(self, name, value)
            return value
        searched = sys._getframe(1).f_code.co_name in SEARCHES
        if searched or (name.startswith("__") and name not in _EXECUTED_FOR):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _LOCK:  # other threads wait here
            if isinstance(self, _Package):
                if self._begun:  # its __init__ asks, for what it has not made yet
                    raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
                self._begun = True
                assert self.__spec__ is not None
                assert isinstance(self.__spec__.loader, _Loader)
                self.__spec__.loader.whole.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        _ = self.__all__
        return dir(self)


class _Loader(importlib.abc.Loader):
    def __init__(self, whole: importlib.abc.Loader) -> None:
        self.whole = whole

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ != "torchmetrics":
            return
        try:
            torchmetrics.begin(module)
        except (ImportError, AttributeError):  # another version of it: import it as it is
            for name in [name for name in sys.modules if name.startswith("torchmetrics.")]:
                del sys.modules[name]
            module.__class__ = ModuleType
            self.whole.exec_module(module)


class _Uncollected(importlib.abc.Loader):
    """Loads a module with the garbage collector off, and freezes what was loaded."""

    def __init__(self, whole: importlib.abc.Loader) -> None:
        self.whole = whole

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.whole.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.whole  # for those who ask for its source or its files
        outermost = gc.isenabled()
        gc.disable()
        try:
            self.whole.exec_module(module)
        finally:
            if outermost:
                gc.freeze()
                gc.enable()
                atexit.register(gc.unfreeze)  # at a shutdown by Python, nanobind reports frozen objects as leaks


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, early: Collection[str]) -> None:
        self.early = early

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.early and name not in LARGE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, importlib.abc.Loader):
            spec.loader = _Loader(spec.loader) if name in self.early else _Uncollected(spec.loader)
        return spec
