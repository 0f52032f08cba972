"""Write the table of `tlx predict -o` to a new file, a table that it wrote before, or a device, and nothing else."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tlx.base.errors import TlxError
from tlx.base.files import cannot_write, create, temporary_path, writing
from tlx.base.legible import ESCAPED
from tlx.base.places import why_not_writable
from tlx.base.printable import one_line
from tlx.records.prediction_columns import AREAS, CONFIDENCE, IMAGE, NUMBER, PREDICTED

if TYPE_CHECKING:
    import numpy as np

_HEADS = (
    *(",".join(columns).encode() for columns in ((IMAGE, PREDICTED, CONFIDENCE), AREAS, (IMAGE, NUMBER))),
    b"image,prediction,probability",  # of tlx 0.1
)
_STREAM = re.compile(r"(/dev|/proc/(self|\d+))/fd/\d+")
_OWN_SHEET = b"tEXtSoftware\0tlx predict"
_ROOM = 2**16  # bytes of disk space that a table needs at least


def refuse_place(path: Path) -> None:
    """Refuse a path to which no table can be written, before spending minutes on predictions.

    Raises:
        TlxError: No table can be written there; the message says what is there.
    """
    named = f"-o: expected a new file, or one that tlx predict wrote, got '{one_line(path)}'"
    if _is_device(path):
        return
    if path.is_symlink():
        raise TlxError(f"{named}, a link; type where it leads: {one_line(os.path.realpath(path))}")
    if path.is_dir():
        raise TlxError(f"-o: expected a file, got the folder '{one_line(path)}'")
    reason = why_not_writable(path.parent)
    if reason:
        raise TlxError(f"-o: expected a writable folder, got '{one_line(path)}' ({reason})")
    if path.exists() and not path.is_file():
        raise TlxError(f"{named}, which is a device or a socket; name another file")
    try:
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                if not file.read(100).startswith(_HEADS):
                    raise TlxError(f"{named}, which is neither; remove it, or name another file")
        if path.parent.is_dir():
            room = temporary_path(path)
            try:
                with create(room) as file:
                    os.posix_fallocate(file.fileno(), 0, _ROOM)
            finally:
                room.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_table(path: Path, text: str) -> None:
    """Write a table of predictions; make its folder.

    Raises:
        TlxError: It cannot be written, or another file has its name.
    """
    refuse_place(path)
    content = text.encode("utf-8", ESCAPED)
    if _is_device(path):
        path.write_bytes(content)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with writing(path) as file:
        file.write(content)


def holds_table(path: Path) -> bool:
    """Return whether a path that was not refused holds a table of earlier predictions."""
    return not _is_device(path) and path.is_file() and path.stat().st_size > 0


def write_sheet(path: Path, pixels: np.ndarray) -> bool:
    """Write the contact sheet of predictions, uint8 (H, W, 3), as PNG; return False if another file has its name."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if os.path.lexists(path):
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as old:
            if _OWN_SHEET not in old.read(200):
                return False
    note = PngInfo()
    note.add_text("Software", "tlx predict")
    with writing(path) as file:
        Image.fromarray(pixels).save(file, format="PNG", pnginfo=note)
    return True


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table, the columns first, each with its line break."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    yield text.getvalue()
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow(row)
        yield text.getvalue()


def _is_device(path: Path) -> bool:
    """Return whether a path is a pipe, a terminal, or one of this process's streams (/dev/stdout)."""
    if str(path) in ("/dev/stdout", "/dev/stderr") or _STREAM.fullmatch(str(path)):
        return True
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
