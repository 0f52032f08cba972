"""Files of torch.save that hold objects beside their tensors, read without any code of these objects.

torch reads with `weights_only=True`, which makes tensors and plain values only. Each other name in the file
(argparse.Namespace, omegaconf.DictConfig, a number of NumPy's, a class of the script) gets an empty class in its place:
nothing is imported and nothing of it is called. What the file asks to be built from the name is dropped, or, of a whole
network, kept as a dict.
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

# What no file of weights has a reason to name. Nothing of it would run; it is refused so that its user learns of it.
_SUSPICIOUS = re.compile(
    r"(os|posix|nt|sys|subprocess|shutil|importlib|runpy|socket|ctypes|pty|webbrowser|pickle|code|multiprocessing)\..*"
    r"|builtins\.(eval|exec|compile|__import__|open|input|breakpoint)|torch\.(hub|jit|utils\.cpp_extension)\..*"
)
_MOST_NAMES, _MOST_TRIES = 1000, 20


class Refused(Exception):
    """A file names what no file of weights has a reason to name; the argument is that name."""


class Unreadable(Exception):
    """torch cannot read a file without running its code; the argument says why."""


class Blank:
    """Stands in for an object of a file: it calls nothing and keeps what the file says of it."""

    state: Any = None  # of the class: a file makes objects without __init__, too

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take whatever the file gives."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def load_with_blanks(path: Path) -> tuple[Any, list[str]]:
    """Return what a file of torch.save holds, and the names of the objects that are blanks in it.

    Raises:
        Refused: It names functions that start programs and the like.
        Exception: Whatever torch raises for a file that it cannot read.
    """
    names = foreign_names(path)
    if suspicious := next((name for name in names if _SUSPICIOUS.fullmatch(name)), None):
        raise Refused(suspicious)
    blanks = {name: _blank(name) for name in names}
    for _ in range(_MOST_TRIES):
        with torch.serialization.safe_globals([(blank, name) for name, blank in blanks.items()]):
            try:
                return torch.load(path, map_location="cpu", weights_only=True), sorted(blanks)
            except Exception as error:
                # Whether an object is a kind of dict or list shows when the file puts entries into it.
                found = re.search(r"(Can only (?:append|extend|\w*SETITEMS?).*) but got <class '<(.*)>'>", str(error))
                if found is None or found[2] not in blanks:
                    raise
                blanks[found[2]] = _blank_list(found[2]) if "list" in found[1] else _blank_dict(found[2])
    raise Unreadable("too many kinds of objects in it")


def foreign_names(path: Path) -> list[str]:
    """Return the names in a file's pickle that torch does not build by itself; the pickle is read, not run."""
    found: dict[str, None] = {}
    for module, name in _globals(path):
        found[name_in_python3(module, name)] = None
    known = allowed_in_weights()
    foreign = [name for name in found if name not in known]
    if len(foreign) > _MOST_NAMES:
        raise Unreadable(f"{len(foreign):,} kinds of objects in it")
    return foreign


def _globals(path: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (inner,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
            _collect(archive.read(inner), found)
        return found
    with path.open("rb") as file:
        for _ in range(4):  # the magic number, the version, the system, the object
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
        raise EOFError("the pickle is cut off or damaged") from error


def _blank(name: str) -> type:
    return type(f"<{name}>", (Blank,), {"__module__": "builtins", "__qualname__": f"<{name}>"})


def _blank_dict(name: str) -> type:
    """A class whose instances are ordered dicts: the only ones that torch lets a file both fill and give attributes."""
    return type(f"<{name}>", (), {"__new__": lambda cls, *args: OrderedDict()})


def _blank_list(name: str) -> type:
    return type(f"<{name}>", (), {"__new__": lambda cls, *args: []})
