"""Files that are made to cost much, or to stop whoever opens them: each function writes one."""

from __future__ import annotations

import io
import os
import struct
import zlib
from itertools import pairwise
from pathlib import Path

from PIL import Image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(path: Path, side: int = 50_000) -> None:
    """A hundred kilobytes that ask for 2.5 gigabytes."""
    packer = zlib.compressobj(9)
    row = b"\0" * (side + 1)
    data = b"".join(packer.compress(row) for _ in range(min(side, 2000))) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def tiff(path: Path, tags: dict[int, tuple[int, int, int]], data: bytes = b"\0" * 64) -> None:
    """A TIFF whose only directory has these tags: number -> (type, count, value or offset)."""
    entries = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(tags.items()))
    start = 8 + len(data)
    header = b"II*\0" + struct.pack("<I", start)
    path.write_bytes(header + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))


def gray_tags(width: int, height: int, compression: int = 1) -> dict[int, tuple[int, int, int]]:
    return {
        **{256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, compression), 262: (3, 1, 1)},
        **{277: (3, 1, 1)},
    }


def giant_tiff(path: Path) -> None:
    strips = {273: (4, 1, 8), 278: (4, 1, 1_000_000), 279: (4, 1, 64)}
    tiff(path, {**gray_tags(1_000_000, 1_000_000), **strips})


def giant_tile(path: Path) -> None:
    """An image of 64 pixels' side in one tile of 60,000."""
    tiles = {322: (4, 1, 60_000), 323: (4, 1, 60_000), 324: (4, 1, 8), 325: (4, 1, 64)}
    tiff(path, {**gray_tags(64, 64, compression=8), **tiles}, zlib.compress(b"\0" * 10_000))


def giant_tag(path: Path) -> None:
    """A list of 400 million offsets of strips, in a file with a hole of 1.6 gigabytes."""
    count = 400_000_000
    strips = {273: (4, count, 1000), 278: (4, 1, 1), 279: (4, count, 1000)}
    tiff(path, {**gray_tags(64, 64, compression=8), **strips})
    with path.open("r+b") as file:
        file.truncate(1000 + 4 * count)


def many_scans(path: Path, side: int = 8000, scans: int = 20_000) -> None:
    """A progressive JPEG, one of whose scans, a few hundred bytes, is repeated many times."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 99).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    starts = [*(i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"), len(data) - 2]
    start, end = min(pairwise(starts), key=lambda pair: pair[1] - pair[0])
    path.write_bytes(data[:start] + data[start:end] * scans + data[end:])


def program(path: Path) -> None:
    """PostScript, which Pillow would hand over to an interpreter of programs."""
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n%%EOF\n")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def huge_exif_jpeg(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 60_000
    Image.new("RGB", (40, 20), "red").save(path, "JPEG", exif=exif)


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1)).save(path, "PNG")


def largest(path: Path, kind: str = "PNG", side: int = 8192, mode: str = "RGBA", **options: object) -> None:
    """The most pixels that are allowed."""
    gray = Image.linear_gradient("L").resize((side, side))
    Image.merge(mode, [gray] * len(mode)).save(path, kind, **options)
