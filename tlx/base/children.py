"""Start other programs so that nothing is imported or run only because it is in the working directory.

`python -m` and `python -c`, which torchrun, multiprocessing and submitit use, look for modules in the working directory
first. Programs are also looked for there if PATH has an empty or relative entry. So a file `omegaconf.py` next to
somebody's images would run. Therefore a child searches the folders that its parent searches, and no others.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tlx.base.own_modules import extend_path_for_named_modules


def import_path() -> list[str]:
    """Return the folders in which this process looks for modules, in order, including tlx's own."""
    extend_path_for_named_modules()
    here = [entry or os.getcwd() for entry in sys.path]  # '' is the directory of an interactive Python or a notebook
    package = str(Path(__file__).resolve().parents[2])  # the folder that contains `tlx`
    folders = [*here, package]  # last, because the folder of a checkout contains other things too
    return list(dict.fromkeys(e for e in folders if os.path.isabs(e) and os.pathsep not in e))


def program_path(path: str | None = None) -> str:
    """Return PATH, or another list of folders, without entries that depend on the working directory."""
    path = os.environ.get("PATH", os.defpath) if path is None else path
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if os.path.isabs(entry))


def program(name: str) -> str | None:
    """Return the absolute path of a program; None if no absolute entry of PATH has it."""
    return shutil.which(name, path=program_path())


def environment(base: Mapping[str, str] | None = None, **more: str) -> dict[str, str]:
    """Return the environment variables of a child.

    Args:
        base: Its other variables; None: those of this process.
        more: Variables that override these.
    """
    base = os.environ if base is None else base
    path, programs = os.pathsep.join(import_path()), program_path(base.get("PATH", os.defpath))
    return {**base, "PATH": programs, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **more}


def shield() -> None:
    """Keep programs that libraries start from this process, one of tlx's own, out of the working directory."""
    os.environ.update(PATH=program_path(), PYTHONSAFEPATH="1")


@contextmanager
def inherited() -> Iterator[None]:
    """Set the variables of a child in this process inside the block, for libraries that start processes themselves."""
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
