"""A file of equally shaped rows, each under a 16-byte key: written once, whole or not at all, with checksums.

Layout: a page of 4096 bytes that begins with MAGIC, the length and the CRC-32 of a JSON header, and the header; then
the rows; then the keys. Plain numbers: nothing in it can run code.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import struct
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from tlx.base.files import beside, create, sync

SUFFIX = ".rows"
KEY_BYTES = 16
_MAGIC = b"tlxrows1"
_PAGE = 4096
_FIXED = struct.Struct("<8sII")  # magic, length of the header, its CRC-32
_DTYPES = {str(d).removeprefix("torch."): d for d in (torch.float32, torch.bfloat16, torch.float16, torch.float64)}
_NAME = re.compile(rf".+-[0-9a-f]{{12}}\{SUFFIX}")
_AT_ONCE = 4 * 2**20  # bytes checked, or read before the pages are given back


class Damaged(Exception):
    """A segment that is not what was written."""


@dataclass(frozen=True)
class Shape:
    """What a row is.

    Args:
        shape: As the network gives it, without the batch.
        dtype: Name of a floating torch type.
        channels_last: Whether rows (C, H, W) lie in memory as (H, W, C), in which the network takes them.
    """

    shape: tuple[int, ...]
    dtype: str
    channels_last: bool = False

    @classmethod
    def of(cls, rows: Tensor) -> Shape:
        """Return the shape of rows (N, …) as they lie in memory."""
        last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last) and not rows.is_contiguous()
        return cls(tuple(rows.shape[1:]), str(rows.dtype).removeprefix("torch."), last)

    @property
    def bytes(self) -> int:
        """Bytes of one row."""
        return torch.Size(self.shape).numel() * _DTYPES[self.dtype].itemsize

    def to_memory(self, rows: Tensor) -> Tensor:
        """Rows (N, …) as contiguous memory."""
        return (rows.permute(0, 2, 3, 1) if self.channels_last else rows).contiguous()

    def from_memory(self, flat: Tensor) -> Tensor:
        """Rows (N, …) from memory (N, numbers of a row), without a copy."""
        if not self.channels_last:
            return flat.view(-1, *self.shape)
        channels, height, width = self.shape
        return flat.view(-1, height, width, channels).permute(0, 3, 1, 2)


class SegmentWriter:
    """Writes one segment beside its place; it counts from `commit` on.

    Args:
        folder: Where it will lie.
        label: First part of its name; segments are looked for by it.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self.path = folder / f"{label}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        self._beside = beside(self.path)
        self._file: IO[bytes] | None = None
        self._shape: Shape | None = None
        self._keys: list[bytes] = []
        self._crc = 0

    def append(self, rows: Tensor, keys: Sequence[bytes]) -> None:
        """Write rows (N, …) under N keys.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        shape = Shape.of(rows)
        if self._file is None:
            self._file, self._shape = create(self._beside), shape
            self._file.write(bytes(_PAGE))
        assert self._shape is not None
        assert (shape.shape, shape.dtype) == (self._shape.shape, self._shape.dtype)
        content = self._shape.to_memory(rows.detach().cpu()).flatten().view(torch.uint8).numpy().data
        self._crc = zlib.crc32(content, self._crc)
        self._file.write(content)
        self._keys += keys

    def commit(self) -> None:
        """Make it count; nothing happens where no row was written."""
        if self._file is None or self._shape is None:
            return
        keys = b"".join(self._keys)
        header = {
            "shape": self._shape.shape, "dtype": self._shape.dtype, "channels_last": self._shape.channels_last,
            "count": len(self._keys), "rows_crc": self._crc, "keys_crc": zlib.crc32(keys),
        }  # fmt: skip
        text = json.dumps(header).encode()
        with self._file as file:
            file.write(keys)
            file.seek(0)
            file.write(_FIXED.pack(_MAGIC, len(text), zlib.crc32(text)) + text)
            file.flush()
            os.fsync(file.fileno())
        self._beside.replace(self.path)
        sync(self.path.parent)
        self._file = None

    def discard(self) -> None:
        """Leave nothing behind of what was not committed."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._beside.unlink(missing_ok=True)


class Segment:
    """A segment on disk, mapped into memory and checked whole when it is opened.

    Args:
        path: The file.

    Raises:
        Damaged: It is cut off, or its bytes are not those that were written.
        OSError: It is gone or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            header = _read_header(file, path)
            self.shape = Shape(tuple(header["shape"]), str(header["dtype"]), bool(header["channels_last"]))
            self.count = int(header["count"])
            size = self.count * self.shape.bytes
            if os.fstat(file.fileno()).st_size != _PAGE + size + self.count * KEY_BYTES:
                raise Damaged(f"{path} has not the length that its header tells")
            # A private map: torch wants memory that may be written, the file stays as it is.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if self._crc(_PAGE, _PAGE + size) != header["rows_crc"]:
            raise Damaged(f"the rows of {path} are not what was written")
        keys = self._map[_PAGE + size :]
        if zlib.crc32(keys) != header["keys_crc"]:
            raise Damaged(f"the keys of {path} are not what was written")
        self.keys = [keys[i : i + KEY_BYTES] for i in range(0, len(keys), KEY_BYTES)]
        dtype = _DTYPES[self.shape.dtype]
        numbers = size // dtype.itemsize
        self._rows = torch.frombuffer(self._map, dtype=dtype, count=numbers, offset=_PAGE).view(self.count, -1)
        self._read = 0

    def take(self, positions: Tensor) -> Tensor:
        """Return a copy of rows: (len(positions), numbers of a row). The memory that this maps stays small."""
        taken = self._rows[positions]
        self._read += len(positions) * max(self.shape.bytes, mmap.PAGESIZE)
        if self._read > _AT_ONCE:
            self._give_back()
        return taken

    def _give_back(self) -> None:
        """Unmap what was read: it stays in the system's cache and no longer counts as this process's memory."""
        self._read = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _crc(self, start: int, stop: int) -> int:
        crc = 0
        view = memoryview(self._map)
        for at in range(start, stop, _AT_ONCE):
            crc = zlib.crc32(view[at : min(at + _AT_ONCE, stop)], crc)
            self._give_back()
        return crc


def _read_header(file: IO[bytes], path: Path) -> dict[str, Any]:
    page = file.read(_PAGE)
    try:
        magic, length, crc = _FIXED.unpack_from(page)
        text = page[_FIXED.size : _FIXED.size + length]
        header: dict[str, Any] = json.loads(text)
        if magic != _MAGIC or zlib.crc32(text) != crc or header["dtype"] not in _DTYPES:
            raise ValueError("the header is not what was written")
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path}: {error}") from error
    return header


def is_ours(path: Path) -> bool:
    """Return whether a file has the name of a segment that tlx wrote; what else ends in `.rows` is somebody's."""
    return _NAME.fullmatch(path.name) is not None and not path.is_symlink()


def segments(folder: Path, label: str) -> Iterator[Path]:
    """Yield the segments of a label that were committed, in the order of their names."""
    yield from sorted(folder.glob(f"{label}-*{SUFFIX}"))
