"""Whether files can be written where a command is about to write them: asked before it begins, and nothing is made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tlx.base.errors import Mistake, TlxError
from tlx.base.printable import one_line

_LEAST = 64 * 1024  # bytes of the disk below which no run can begin


def refuse_unwritable(output_dir: str, run_dir: str) -> None:
    """Refuse places of a run in which nothing can be written.

    Raises:
        TlxError: It names the key that the user sets, and why.
    """
    for mistake in place_mistakes(output_dir, run_dir):
        raise TlxError(str(mistake))


def place_mistakes(output_dir: str, run_dir: str) -> list[Mistake]:
    """Return what is wrong with an `output_dir` or else a `run_dir`, which need not be there yet."""
    output, run = (Path(text).expanduser() for text in (output_dir, run_dir))
    for key, directory in (("output_dir", output), ("run_dir", run)):
        reason = why_not_writable(directory) if run.is_relative_to(directory) else None
        if reason:
            got = f"'{one_line(directory)}' ({reason})"
            return [Mistake(key, "a folder that can be written", got)]
    return []


def refuse_little_room(directory: Path, needed: int) -> None:
    """Refuse a disk that cannot hold what a run is sure to write, before it trains for the first time.

    Args:
        directory: The run directory.
        needed: Bytes.

    Raises:
        TlxError: There is less room.
    """
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise TlxError(
            f"output_dir: expected room for {needed / 1e6:,.1f} MB of checkpoints, got {free / 1e6:,.1f} MB on the "
            f"disk of '{one_line(directory)}'; make room, or name another output_dir"
        )


def why_not_writable(directory: Path) -> str | None:
    """Return why nothing can be written in a directory, which need not be there yet; None where it can."""
    here = Path(os.path.abspath(directory))
    missing: list[str] = []
    try:
        while not os.path.lexists(here):
            missing.append(here.name)
            here = here.parent
        if not here.is_dir():
            link = here.is_symlink() and not here.exists()
            return f"{one_line(here)} is {'a link that leads nowhere' if link else 'no folder'}"
        if not os.access(here, os.W_OK | os.X_OK):
            return f"{one_line(here)} may not be written by this user"
        longest = os.pathconf(here, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in missing):
            return f"names have at most {longest} bytes there"
        if shutil.disk_usage(here).free < _LEAST:
            return "the disk is full"
    except OSError as error:
        return error.strerror or str(error)
    return None
