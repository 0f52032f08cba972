"""Pixels of images in a file, each at a place of its own, written by whichever process reads the image first.

A folder holds two files. `images.slots` is a table with a record of 64 bytes for each image: its key, where its pixels
begin and how many bytes they may take, with a checksum; and, once they were written, their shape and checksum, with a
checksum of both. `images.pixels` holds the pixels. Both contain plain numbers, and nothing that can run code.

Places are only ever added, by one process at a time, and their pixels are a function of their key. So any number of
processes read and write at once without locks, and one that is killed leaves a place empty. The state of a place is
written after its pixels; a crash of the machine may still lose some of these, so a run compares the checksum of each
place once. Files are read and written, not mapped: on a full disk writing returns an error, while writing to mapped
memory would end the process. The system's page cache holds what is read, once for all processes.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor

from tlx.data.batches.names import PIXELS, SLOTS

_FIXED = struct.Struct("<16sQQI")  # key, first byte, bytes, and the checksum of these
_STATE = struct.Struct("<IIII")  # three sides, 0 for none; checksum of the pixels
_CRC = struct.Struct("<I")  # of the state, begun with that of the key
_RECORD = 64  # bytes; the last ones are not used
_SOUND, _NEW = 1, 2  # a place whose pixels were compared with their checksum; one that these processes wrote


class Place(NamedTuple):
    """Where the pixels of an image belong: number of its record, key, first byte, number of bytes."""

    number: int
    key: bytes
    start: int
    size: int


class Damaged(Exception):
    """The table is not what was written."""


class PixelFile:
    """The pixels of images, uint8, by key.

    Args:
        folder: The folder of both files, which are created if they are missing; None: files without a name, in memory
            where the system has such files, which only this process and those that it forks see.

    Raises:
        OSError: They cannot be opened, are no regular files, or have further names.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._slots = self._pixels = -1
        self._states = mmap.mmap(-1, 1)
        try:
            self._slots, self._pixels = _opened(folder, SLOTS), _opened(folder, PIXELS)
            self._states = mmap.mmap(-1, max(1, os.fstat(self._slots).st_size // _RECORD))
        except OSError:
            self.close()
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what only this process and those that it forks have."""
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the files again; without a folder nothing is found, and nothing kept."""
        self.folder, self._slots, self._pixels = state["folder"], -1, -1
        self._states = mmap.mmap(-1, 1)
        if self.folder is not None:
            with suppress(OSError):
                self.__init__(self.folder)  # type: ignore[misc]

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close both files."""
        for handle in (self._slots, self._pixels):
            if handle >= 0:
                os.close(handle)
        self._slots = self._pixels = -1

    def reserve(self, wanted: Sequence[tuple[bytes, int]], room: Callable[[int, int], int]) -> list[Place | None]:
        """Return the place of each image, in order; new places are added as far as there is room.

        No other process may add places meanwhile. One that does, on a file system without locks, is noticed.

        Args:
            wanted: Key and bytes of each image; the same key may come again.
            room: Is given the bytes of all places and those of the missing ones, if there are any; returns how many
                bytes may be added.

        Raises:
            Damaged: The table is not what was written, or another process has just written to it.
            OSError: It cannot be read or written.
        """
        there = self._table()
        missing = {key: size for key, size in wanted if key not in there}
        number, end = len(there), sum(place.size for place in there.values())
        left = room(end, sum(missing.values())) if missing else 0
        added = {}
        for key, size in missing.items():
            if size <= left:
                added[key] = Place(number, key, end, size)
                number, end, left = number + 1, end + size, left - size
        if added:
            _append(self._slots, b"".join(_fixed(place).ljust(_RECORD, b"\0") for place in added.values()))
            there = self._table()
            if any(there.get(key) != place for key, place in added.items()):
                raise Damaged("another process has written to the table")
        found = [place if (place := there.get(key)) and place.size == size else None for key, size in wanted]
        self._states = mmap.mmap(-1, max(1, len(there)))
        return found

    def stale(self, wanted: Sequence[tuple[bytes, int]]) -> int:
        """Return the bytes of places of other images than the wanted ones.

        Raises:
            Damaged: The table is not what was written.
        """
        keys = {key for key, _ in wanted}
        return sum(place.size for key, place in self._table().items() if key not in keys)

    def get(self, place: Place) -> Tensor | None:
        """Return the pixels at a place, uint8 (C, H, W) or as written, a new tensor; None if there are none."""
        shape, crc = self._state(place)
        if not shape:
            return None
        pixels = torch.empty(shape, dtype=torch.uint8)
        buffer = pixels.numpy().data.cast("B")
        try:
            done = 0
            while done < len(buffer):
                count = os.preadv(self._pixels, [buffer[done:]], place.start + done)
                if not count:
                    return None
                done += count
        except OSError:
            return None
        if not self._states[place.number]:
            if crc32(buffer) != crc:
                return None
            self._states[place.number] = _SOUND
        return pixels

    def put(self, place: Place, pixels: Tensor) -> None:
        """Write the pixels of an image, uint8 (C, H, W) or of fewer dimensions, unless the place is for another number.

        Raises:
            OSError: The disk is full, or the file cannot be written.
        """
        if pixels.numel() != place.size or self._record(place) is None:
            return
        content = pixels.contiguous().numpy().data.cast("B")
        _write(self._pixels, content, place.start)
        state = _STATE.pack(*(*pixels.shape, 0, 0)[:3], crc32(content))
        state += _CRC.pack(crc32(state, crc32(place.key)))
        _write(self._slots, memoryview(state), _RECORD * place.number + _FIXED.size)
        self._states[place.number] = _NEW

    def counts(self) -> tuple[int, int]:
        """Return how many images these processes have found in their places, or written there; and written."""
        states = self._states[:]
        return len(states) - states.count(0), states.count(_NEW)

    def _record(self, place: Place) -> bytes | None:
        """Return the record of a place; None if there is none, or the file was replaced."""
        if self._slots < 0:
            return None
        try:
            record = os.pread(self._slots, _RECORD, _RECORD * place.number)
        except OSError:
            return None
        return record if len(record) == _RECORD and record.startswith(_fixed(place)) else None

    def _state(self, place: Place) -> tuple[tuple[int, ...], int]:
        """Return the shape of the pixels at a place, and their checksum; an empty shape if they were not written."""
        record = self._record(place)
        if record is None:
            return (), 0
        state, end = record[_FIXED.size :], _STATE.size
        *sides, crc = _STATE.unpack_from(state)
        shape = tuple(side for side in sides if side)
        if _CRC.unpack_from(state, end)[0] != crc32(state[:end], crc32(place.key)) or prod(shape) != place.size:
            return (), 0
        return shape, crc

    def _table(self) -> dict[bytes, Place]:
        """Return all places by key.

        Raises:
            Damaged: The table is not what was written, or two processes wrote it at once.
        """
        content = b""
        while part := os.pread(self._slots, 2**24, len(content)):
            content += part
        found: dict[bytes, Place] = {}
        end = 0
        for at in range(0, len(content) - _RECORD + 1, _RECORD):
            key, start, size, crc = _FIXED.unpack_from(content, at)
            if crc32(content[at : at + _FIXED.size - _CRC.size]) != crc or start != end or key in found:
                raise Damaged("a record of the table is not what was written")
            found[key] = Place(len(found), key, start, size)
            end += size
        if len(content) % _RECORD:  # of a process that was killed while it added places
            os.ftruncate(self._slots, len(content) - len(content) % _RECORD)
        return found


def remove(folder: Path) -> None:
    """Remove both files; processes that have them open can go on."""
    for name in (SLOTS, PIXELS):
        (folder / name).unlink(missing_ok=True)


def _fixed(place: Place) -> bytes:
    head = _FIXED.pack(place.key, place.start, place.size, 0)[: -_CRC.size]
    return head + _CRC.pack(crc32(head))


def _opened(folder: Path | None, name: str) -> int:
    if folder is None:
        if hasattr(os, "memfd_create"):
            return os.memfd_create(f"tlx {name}")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(handle)
        raise OSError(f"{folder / name} is not a regular file, or has further names")
    return handle


def _append(handle: int, content: bytes) -> None:
    """Write all bytes at the end at once, so that no other process writes between them."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    fcntl.fcntl(handle, fcntl.F_SETFL, flags | os.O_APPEND)
    try:
        if os.write(handle, content) != len(content):
            raise OSError("the disk is full")
    finally:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)


def _write(handle: int, content: memoryview, start: int) -> None:
    while content:
        count = os.pwrite(handle, content, start)
        content, start = content[count:], start + count
