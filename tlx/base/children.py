"""How tlx starts other programs: nothing that merely lies in the working directory is imported or run.

Python looks for modules in the working directory first when it is started as `python -m` or `python -c`, which is how
torchrun, multiprocessing and submitit start it; and a program is looked for there where PATH has an empty or relative
entry. A file called `omegaconf.py` beside somebody's images would run. So a child is told where its parent looks, and
looks nowhere else.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tlx.base.own_modules import look_for_named_ones


def import_path() -> list[str]:
    """Return the folders in which this process looks for modules, in order, tlx's own among them."""
    look_for_named_ones()
    here = [entry or os.getcwd() for entry in sys.path]  # '' is where an interactive Python or a notebook is
    package = str(Path(__file__).resolve().parents[2])  # where `tlx` is
    folders = [*here, package]  # last: beside a checkout lies much else
    return list(dict.fromkeys(e for e in folders if os.path.isabs(e) and os.pathsep not in e))


def program_path(path: str | None = None) -> str:
    """Return PATH (or another list of folders) without the entries that depend on the working directory."""
    path = os.environ.get("PATH", os.defpath) if path is None else path
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if os.path.isabs(entry))


def program(name: str) -> str | None:
    """Return the absolute path of a program; None where the absolute entries of PATH do not have it."""
    return shutil.which(name, path=program_path())


def environment(base: Mapping[str, str] | None = None, **more: str) -> dict[str, str]:
    """Return the environment variables of a child.

    Args:
        base: What it has otherwise; None: the variables of this process.
        more: Variables in front of these.
    """
    base = os.environ if base is None else base
    path, programs = os.pathsep.join(import_path()), program_path(base.get("PATH", os.defpath))
    return {**base, "PATH": programs, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **more}


def shield() -> None:
    """Have what libraries start from this process, which is tlx's own, stay out of the working directory, too."""
    os.environ.update(PATH=program_path(), PYTHONSAFEPATH="1")


@contextmanager
def inherited() -> Iterator[None]:
    """Inside, this process has such variables itself: for libraries that start processes on their own."""
    names = ("PATH", "PYTHONPATH", "PYTHONSAFEPATH")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(environment())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
