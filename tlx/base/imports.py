"""Make torch, Lightning and torchmetrics start faster in processes of tlx's own.

pytorch_lightning imports torchmetrics for three classes, and its `__init__` imports everything else, which takes
seconds. Here the package exists at once, and its unchanged `__init__` runs when a name is requested that needs it. So
all code that uses torchmetrics, the user's included, finds the whole package. The same holds for torch._dynamo, of
which Lightning, torchvision and optimizers request names that only a compiled network needs, and for torchmetrics'
plots, which import all of matplotlib.

Python's garbage collector runs repeatedly during imports; it takes a quarter of the time and frees nothing. Here it is
off during imports, and what they create is frozen: the collector ignores it from then on.

torch's threads (GNU OpenMP) wait for one another in a loop that occupies a core for milliseconds. If other processes
need the cores too, such as parallel jobs of a sweep, threads loop while the thread they wait for gets no core: steps of
1 ms took 40 ms. Here they loop for a fraction of a millisecond, then sleep.
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

from tlx.base.compat import dynamo, torchmetrics
from tlx.base.compat.python import SEARCHES

# Name -> its module, for the names that Lightning and tlx request from the packages themselves.
EARLY: dict[str, dict[str, str]] = {
    "torchmetrics": {
        "Metric": "torchmetrics.metric",
        "MetricCollection": "torchmetrics.collections",
        "MeanMetric": "torchmetrics.aggregation",
        "__version__": "torchmetrics.__about__",
    },
    "torchmetrics.functional": {},
    "torchmetrics.utilities.plot": dict.fromkeys(torchmetrics.PLOTTING, torchmetrics.__name__),
    dynamo.PACKAGE: dict.fromkeys(dynamo.NAMES, dynamo.__name__),
    f"{dynamo.PACKAGE}.utils": dict.fromkeys(dynamo.NAMES_OF_UTILS, dynamo.__name__),
    f"{dynamo.PACKAGE}.trace_rules": dict.fromkeys(dynamo.NAMES_OF_TRACE_RULES, dynamo.__name__),
}
# The packages and modules that import the most; they import the others.
LARGE = ("tlx.train", "tlx.procedures.stages", "torch", "torchvision", "pytorch_lightning", "timm", "sklearn")
# Names with underscores for which the `__init__` runs. Code that inspects all modules requests others.
_RUN_INIT_FOR = ("__all__", "__version__")
_PART = f"{dynamo.PACKAGE}."  # with it the names of the compiler's modules begin
_LOCK = threading.RLock()


def start_lean() -> None:
    """Set up imports and threads as described above; leave what is already imported or set unchanged."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "10000"
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        early = [name for name in EARLY if name not in sys.modules and name.partition(".")[0] not in sys.modules]
        sys.meta_path.insert(0, _Finder(early))


class _Package(ModuleType):
    """A package whose `__init__` runs when it is needed."""

    _running = False

    def __getattr__(self, name: str) -> Any:
        module = EARLY[self.__name__].get(name)
        if module is not None:
            value = getattr(import_module(module), name)
            setattr(self, name, value)
            return value
        if f"{self.__name__}.{name}" in EARLY and not self._running:
            return import_module(f"{self.__name__}.{name}")
        searched = sys._getframe(1).f_code.co_name in SEARCHES
        if searched or (name.startswith("__") and name not in _RUN_INIT_FOR):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if self.__name__.startswith(_PART):
            run_whole(dynamo.PACKAGE)
            return getattr(sys.modules[self.__name__], name)  # the real one, in its place
        with _LOCK:  # other threads wait here
            if isinstance(self, _Package):
                if self._running:  # its __init__ requests a name that it has not defined yet
                    raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
                self._running = True
                if self.__name__ == dynamo.PACKAGE:
                    _forget_parts(self)
                assert self.__spec__ is not None
                assert isinstance(self.__spec__.loader, _Loader)
                self.__spec__.loader.original.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        _ = self.__all__
        return dir(self)


def _forget_parts(package: ModuleType) -> None:
    """Let the compiler import its own modules in its own order, which is the only one that works."""
    for name in EARLY:
        if name.startswith(_PART) and isinstance(sys.modules.get(name), _Package):
            del sys.modules[name]
            vars(package).pop(name.removeprefix(_PART), None)


def run_whole(name: str) -> bool:
    """Run the `__init__` of a package now if it has not run yet; return whether it had to."""
    package = sys.modules.get(name)
    if not isinstance(package, _Package) or package._running:
        return False
    _ = package.__all__
    return True


class _Loader(importlib.abc.Loader):
    def __init__(self, original: importlib.abc.Loader) -> None:
        self.original = original

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ != "torchmetrics":
            return
        try:
            torchmetrics.begin(module)
        except (ImportError, AttributeError):  # an unknown version: import it as usual
            for name in [name for name in sys.modules if name.startswith("torchmetrics.")]:
                del sys.modules[name]
            module.__class__ = ModuleType
            self.original.exec_module(module)


class _Imported(importlib.abc.Loader):
    """Returns a module that its package has just imported; the import system would execute it once more."""

    def __init__(self, name: str) -> None:
        self.module = sys.modules[name]
        self.spec = vars(self.module)["__spec__"]
        vars(self.module)["__spec__"] = None  # with one, the import system takes it instead of this loader's

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__spec__"] = self.spec  # settings of torch refuse `module.__spec__ = …`


class _Uncollected(importlib.abc.Loader):
    """Loads a module with the garbage collector off, then freezes what was loaded."""

    def __init__(self, original: importlib.abc.Loader) -> None:
        self.original = original

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.original  # for code that reads its source or files
        outermost = gc.isenabled()
        gc.disable()
        try:
            self.original.exec_module(module)
        finally:
            if outermost:
                gc.freeze()
                gc.enable()
                atexit.register(gc.unfreeze)  # if Python shuts down, nanobind reports frozen objects as leaks


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, early: Collection[str]) -> None:
        self.early = early

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        early = name in self.early
        if name.startswith(_PART):
            if not early and run_whole(dynamo.PACKAGE) and name in sys.modules:  # its parts rely on its __init__
                return importlib.machinery.ModuleSpec(name, _Imported(name))
            package = sys.modules.get(dynamo.PACKAGE)
            early = early and isinstance(package, _Package) and not package._running
        if not early and name not in LARGE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, importlib.abc.Loader):
            spec.loader = _Loader(spec.loader) if early else _Uncollected(spec.loader)
        return spec
