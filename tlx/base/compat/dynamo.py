"""Private names of torch's compiler, torch._dynamo, for as long as nothing is compiled.

Importing it takes longer than importing torch. Lightning asks it what is a compiled module, every optimizer breaks
graphs around a step, torchvision asks whether compiling is possible, DDP how its graphs are to be cut, and whoever
starts a process group lets it forget earlier groups. Each name here does what the real one does: before the real
package is imported, there are no compiled modules, no graphs and no settings of the user's; afterwards it passes calls
on.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

PACKAGE = "torch._dynamo"
NAMES = ("OptimizedModule", "disable", "graph_break")
NAMES_OF_UTILS = ("get_optimize_ddp_mode", "is_compile_supported")
NAMES_OF_TRACE_RULES = ("clear_lru_cache",)


class _IsCompiled(type):
    def __instancecheck__(cls, instance: object) -> bool:
        real = _real("eval_frame", cls.__name__)
        return real is not None and isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = _real("eval_frame", cls.__name__)
        return real is not None and issubclass(subclass, real)


class OptimizedModule(metaclass=_IsCompiled):
    """Stands for the class of compiled modules in `isinstance`."""


def graph_break(msg: str = "") -> None:
    """Do nothing, like the real function outside a graph."""


def disable(
    fn: Callable[..., Any], recursive: bool = True, *, reason: str | None = None, wrapping: bool = True
) -> Callable[..., Any]:
    """Return a function that calls `fn`, and keeps it out of graphs once there are any."""
    disabled: Callable[..., Any] | None = None

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal disabled
        if disabled is None and (real := _real("decorators", "disable")) is not None:
            disabled = real(fn, recursive, reason=reason, wrapping=wrapping)
        return (disabled or fn)(*args, **kwargs)

    return call


def is_compile_supported(device_type: Any) -> Any:
    """Return what the real function returns."""
    import_module(f"{PACKAGE}.eval_frame")  # which imports all of it
    return _real("utils", "is_compile_supported")(device_type)


def get_optimize_ddp_mode() -> Any:
    """Return how graphs of a network in DDP are cut: by default, unless the settings have been imported."""
    real = _real("utils", "get_optimize_ddp_mode")
    return "ddp_optimizer" if real is None else real()


def clear_lru_cache() -> None:
    """Clear what is cached, which is nothing at first."""
    if (real := _real("trace_rules", "clear_lru_cache")) is not None:
        real()


def _real(module: str, name: str) -> Any:
    """Return a name of the real package; None: it has not been imported."""
    found = vars(sys.modules.get(f"{PACKAGE}.{module}", object)).get(name)
    return None if found is globals().get(name) else found
