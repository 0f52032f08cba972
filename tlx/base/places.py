"""Check, before a command begins, that its files can be written. Creates nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tlx.base.errors import Mistake, TlxError
from tlx.base.printable import one_line

_LEAST = 64 * 1024  # bytes of free disk space without which no run can begin


def refuse_unwritable(output_dir: str, run_dir: str) -> None:
    """Refuse folders of a run that cannot be written.

    Raises:
        TlxError: One cannot be written; the message names its key and the reason.
    """
    for mistake in place_mistakes(output_dir, run_dir):
        raise TlxError(str(mistake))


def place_mistakes(output_dir: str, run_dir: str) -> list[Mistake]:
    """Return the mistake of `output_dir`, otherwise that of `run_dir`; neither needs to exist yet."""
    output, run = (Path(text).expanduser() for text in (output_dir, run_dir))
    for key, directory in (("output_dir", output), ("run_dir", run)):
        reason = why_not_writable(directory) if run.is_relative_to(directory) else None
        if reason:
            got = f"'{one_line(directory)}' ({reason})"
            return [Mistake(key, "a writable folder", got)]
    return []


def refuse_little_room(directory: Path, needed: int) -> None:
    """Refuse a disk without room for what a run will certainly write, before it trains for the first time.

    Args:
        directory: The run directory.
        needed: Bytes.

    Raises:
        TlxError: Less space is free.
    """
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise TlxError(
            f"output_dir: expected room for {needed / 1e6:,.1f} MB of checkpoints, got {free / 1e6:,.1f} MB on the "
            f"disk of '{one_line(directory)}'; make room, or name another output_dir"
        )


def why_not_writable(directory: Path) -> str | None:
    """Return why a directory, which need not exist yet, cannot be written; None if it can."""
    here = Path(os.path.abspath(directory))
    missing: list[str] = []
    try:
        while not os.path.lexists(here):
            missing.append(here.name)
            here = here.parent
        if not here.is_dir():
            link = here.is_symlink() and not here.exists()
            return f"{one_line(here)} is {'a broken link' if link else 'not a folder'}"
        if not os.access(here, os.W_OK | os.X_OK):
            return f"this user may not write to {one_line(here)}"
        longest = os.pathconf(here, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in missing):
            return f"names have at most {longest} bytes there"
        if shutil.disk_usage(here).free < _LEAST:
            return "the disk is full"
    except OSError as error:
        return error.strerror or str(error)
    return None
