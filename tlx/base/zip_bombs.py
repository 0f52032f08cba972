"""Zip archives that unpack to many times their size, told before anything in them is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

_SMALL = 2**26  # bytes that may always be unpacked
_TIMES = 4  # of the archive's own size; what torch.save and skops write is not compressed at all


def refuse_bomb(archive: Path | IO[bytes]) -> None:
    """Refuse an archive whose members have far more bytes than it has itself; what is no archive is passed over.

    Raises:
        ValueError: It says how many.
    """
    try:
        with zipfile.ZipFile(archive) as held:
            members = held.infolist()
    except zipfile.BadZipFile:
        return
    inside, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if inside > max(_SMALL, _TIMES * min(packed, _size(archive))):  # members may share their bytes
        raise ValueError(f"it unpacks to {inside:,} bytes, many times its own size")


def _size(archive: Path | IO[bytes]) -> int:
    return archive.stat().st_size if isinstance(archive, Path) else archive.seek(0, 2)
