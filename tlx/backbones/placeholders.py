"""Read files of torch.save that contain objects besides tensors, without running code of these objects.

torch reads with `weights_only=True`, which builds only tensors and plain values. Each other name in the file
(argparse.Namespace, omegaconf.DictConfig, a NumPy number, a class of the script) is replaced by an empty class: nothing
is imported or called for it. The object's content is dropped; for a saved network, it is kept as a dict.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from tlx.base.compat.python import name_in_python3
from tlx.base.compat.torch import allowed_in_weights

# Names that no weights need. They would not be called; the file is refused to warn its user.
_SUSPICIOUS = re.compile(
    r"(os|posix|nt|sys|subprocess|shutil|importlib|runpy|socket|ctypes|pty|webbrowser|pickle|code|multiprocessing)\..*"
    r"|builtins\.(eval|exec|compile|__import__|open|input|breakpoint)|torch\.(hub|jit|utils\.cpp_extension)\..*"
)
_MOST_NAMES, _MOST_TRIES = 1000, 20


class Refused(Exception):
    """A file contains a name that no weights need; the argument is that name."""


class Unreadable(Exception):
    """torch cannot read a file without running its code; the argument says why."""


class Placeholder:
    """Replaces an object of a file: it calls nothing and stores the object's state."""

    state: Any = None  # an attribute of the class, because unpickling may skip __init__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept and ignore any arguments."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def load_with_placeholders(path: Path) -> tuple[Any, list[str]]:
    """Return the content of a file of torch.save, and the names of the objects that placeholders replace.

    Raises:
        Refused: It names functions that start programs or run code.
        Exception: torch cannot read the file.
    """
    names = foreign_names(path)
    if suspicious := next((name for name in names if _SUSPICIOUS.fullmatch(name)), None):
        raise Refused(suspicious)
    placeholders = {name: _placeholder(name) for name in names}
    for _ in range(_MOST_TRIES):
        with torch.serialization.safe_globals([(placeholder, name) for name, placeholder in placeholders.items()]):
            try:
                return torch.load(path, map_location="cpu", weights_only=True), sorted(placeholders)
            except Exception as error:
                # An object turns out to be a dict or list when the file adds entries to it.
                found = re.search(r"(Can only (?:append|extend|\w*SETITEMS?).*) but got <class '<(.*)>'>", str(error))
                if found is None or found[2] not in placeholders:
                    raise
                placeholders[found[2]] = (
                    _list_placeholder(found[2]) if "list" in found[1] else _dict_placeholder(found[2])
                )
    raise Unreadable("it contains too many kinds of objects")


def foreign_names(path: Path) -> list[str]:
    """Return the names in a file's pickle that torch does not allow; the pickle is parsed, not run."""
    found: dict[str, None] = {}
    for module, name in _globals(path):
        found[name_in_python3(module, name)] = None
    known = allowed_in_weights()
    foreign = [name for name in found if name not in known]
    if len(foreign) > _MOST_NAMES:
        raise Unreadable(f"it contains {len(foreign):,} kinds of objects")
    return foreign


def _globals(path: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (inner,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
            _collect(archive.read(inner), found)
        return found
    with path.open("rb") as file:
        for _ in range(4):  # magic number, version, system, object
            _collect(file, found)
    return found


def _collect(pickled: Any, found: list[tuple[str, str]]) -> None:
    try:
        for operation, argument, _ in pickletools.genops(pickled):
            if operation.name == "PROTO" and argument not in (None, 2):
                raise Unreadable(f"saved with pickle protocol {argument}; without running code torch reads protocol 2")
            if operation.name == "GLOBAL" and argument is not None:
                module, _, name = str(argument).partition(" ")
                found.append((module, name))
    except ValueError as error:
        raise EOFError("the pickle is truncated or damaged") from error


def _placeholder(name: str) -> type:
    return type(f"<{name}>", (Placeholder,), {"__module__": "builtins", "__qualname__": f"<{name}>"})


def _dict_placeholder(name: str) -> type:
    """Return a class whose instances are ordered dicts: the only kind for which torch allows entries and attributes."""
    return type(f"<{name}>", (), {"__new__": lambda cls, *args: OrderedDict()})


def _list_placeholder(name: str) -> type:
    return type(f"<{name}>", (), {"__new__": lambda cls, *args: []})
