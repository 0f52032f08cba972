"""A file of rows of one shape, each with a 16-byte key: written once, atomically, with checksums.

Format: a page of 4096 bytes that begins with MAGIC, the length and the CRC-32 of a JSON header, and the header; then
the rows; then the keys. The file contains plain numbers, and nothing that can run code.
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

from tlx.base.files import create, sync, temporary_path

SUFFIX = ".rows"
KEY_BYTES = 16
_MAGIC = b"tlxrows1"
_PAGE = 4096
_FIXED = struct.Struct("<8sII")  # magic, length of the header, its CRC-32
_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)  # outputs of layer groups
_INTEGERS = (torch.uint8, torch.int16, torch.int32, torch.int64)  # labels
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (*_FLOATS, *_INTEGERS)}
_NAME = re.compile(rf".+-[0-9a-f]{{12}}\{SUFFIX}")
_AT_ONCE = 4 * 2**20  # bytes checked at a time, or read before the pages are released


class Damaged(Exception):
    """A segment whose bytes are not those that were written."""


@dataclass(frozen=True)
class Shape:
    """The shape, type and memory format of a row.

    Args:
        shape: Shape of the network's output, or of a label, without the batch.
        dtype: Name of a torch type.
        channels_last: Whether rows (C, H, W) are stored as (H, W, C), the memory format of the network.
    """

    shape: tuple[int, ...]
    dtype: str
    channels_last: bool = False

    @classmethod
    def of(cls, rows: Tensor) -> Shape:
        """Return the shape, type and memory format of rows (N, …)."""
        last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last) and not rows.is_contiguous()
        return cls(tuple(rows.shape[1:]), str(rows.dtype).removeprefix("torch."), last)

    @property
    def bytes(self) -> int:
        """Bytes of one row."""
        return torch.Size(self.shape).numel() * _DTYPES[self.dtype].itemsize

    def to_memory(self, rows: Tensor) -> Tensor:
        """Return rows (N, …) as contiguous memory."""
        return (rows.permute(0, 2, 3, 1) if self.channels_last else rows).contiguous()

    def from_memory(self, flat: Tensor) -> Tensor:
        """Return rows (N, …) as a view of memory (N, numbers per row)."""
        if not self.channels_last:
            return flat.view(-1, *self.shape)
        channels, height, width = self.shape
        return flat.view(-1, height, width, channels).permute(0, 3, 1, 2)


class SegmentWriter:
    """Writes one segment into a temporary file, which `commit` puts in its place.

    Args:
        folder: The folder of the segment.
        label: First part of its name, by which segments are found.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self.path = folder / f"{label}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        self._temporary = temporary_path(self.path)
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
            self._file, self._shape = create(self._temporary), shape
            self._file.write(bytes(_PAGE))
        assert self._shape is not None
        assert (shape.shape, shape.dtype) == (self._shape.shape, self._shape.dtype)
        content = self._shape.to_memory(rows.detach().cpu()).flatten().view(torch.uint8).numpy().data
        self._crc = zlib.crc32(content, self._crc)
        self._file.write(content)
        self._keys += keys

    def commit(self) -> None:
        """Put the segment in its place; do nothing if no row was written."""
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
        self._temporary.replace(self.path)
        sync(self.path.parent)
        self._file = None

    def discard(self) -> None:
        """Delete what was not committed."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._temporary.unlink(missing_ok=True)


class Segment:
    """A segment on disk, mapped into memory. Opening it verifies all checksums.

    Args:
        path: The file.

    Raises:
        Damaged: It is truncated, or its bytes are not those that were written.
        OSError: It is missing or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            header = _read_header(file, path)
            self.shape = Shape(tuple(header["shape"]), str(header["dtype"]), bool(header["channels_last"]))
            self.count = int(header["count"])
            size = self.count * self.shape.bytes
            if os.fstat(file.fileno()).st_size != _PAGE + size + self.count * KEY_BYTES:
                raise Damaged(f"{path} does not have the length that its header states")
            # A private map: torch needs writable memory, and the file must not change.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if self._crc(_PAGE, _PAGE + size) != header["rows_crc"]:
            raise Damaged(f"the rows of {path} do not match their checksum")
        keys = self._map[_PAGE + size :]
        if zlib.crc32(keys) != header["keys_crc"]:
            raise Damaged(f"the keys of {path} do not match their checksum")
        self.keys = [keys[i : i + KEY_BYTES] for i in range(0, len(keys), KEY_BYTES)]
        dtype = _DTYPES[self.shape.dtype]
        numbers = size // dtype.itemsize
        self._rows = torch.frombuffer(self._map, dtype=dtype, count=numbers, offset=_PAGE).view(self.count, -1)
        self._read = 0

    def take(self, positions: Tensor) -> Tensor:
        """Return a copy of rows: (len(positions), numbers per row). The mapped memory stays small."""
        taken = self._rows[positions]
        self._read += len(positions) * max(self.shape.bytes, mmap.PAGESIZE)
        if self._read > _AT_ONCE:
            self._release()
        return taken

    def _release(self) -> None:
        """Release the pages read: they stay in the system's cache and no longer count as this process's memory."""
        self._read = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _crc(self, start: int, stop: int) -> int:
        crc = 0
        view = memoryview(self._map)
        for at in range(start, stop, _AT_ONCE):
            crc = zlib.crc32(view[at : min(at + _AT_ONCE, stop)], crc)
            self._release()
        return crc


def _read_header(file: IO[bytes], path: Path) -> dict[str, Any]:
    page = file.read(_PAGE)
    try:
        magic, length, crc = _FIXED.unpack_from(page)
        text = page[_FIXED.size : _FIXED.size + length]
        header: dict[str, Any] = json.loads(text)
        if magic != _MAGIC or zlib.crc32(text) != crc or header["dtype"] not in _DTYPES:
            raise ValueError("the header is damaged")
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path}: {error}") from error
    return header


def is_ours(path: Path) -> bool:
    """Return whether a file has the name of a segment that tlx wrote; other `.rows` files are the user's."""
    return _NAME.fullmatch(path.name) is not None and not path.is_symlink()


def segments(folder: Path, label: str) -> Iterator[Path]:
    """Yield the committed segments of a label, sorted by name."""
    yield from sorted(folder.glob(f"{label}-*{SUFFIX}"))
