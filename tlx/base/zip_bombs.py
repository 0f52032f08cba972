"""Refuse zip archives that unpack to many times their size, before anything in them is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

_SMALL = 2**26  # bytes that may always be unpacked
_TIMES = 4  # the archive's own size; torch.save and skops do not compress at all


def refuse_bomb(archive: Path | IO[bytes]) -> None:
    """Refuse an archive whose members have many more bytes than the archive; accept files that are not archives.

    Raises:
        ValueError: The archive unpacks to too many bytes; the message says how many.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
    except zipfile.BadZipFile:
        return
    unpacked, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if unpacked > max(_SMALL, _TIMES * min(packed, _size(archive))):  # members may share their bytes
        raise ValueError(f"it unpacks to {unpacked:,} bytes, many times its own size")


def _size(archive: Path | IO[bytes]) -> int:
    return archive.stat().st_size if isinstance(archive, Path) else archive.seek(0, 2)
