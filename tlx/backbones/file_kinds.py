"""Recognise the kind of a file with weights by its content, not by its name; does not import torch."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tlx.base.errors import closest

_HEAD = 4096  # bytes that are read
_TORCH_LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled magic number at the start of files before torch 1.6
_TENSORS = "save it again where it was written: torch.save(model.state_dict(), 'weights.pth')"
_UNPACK = "unpack it and name the file inside"
_DOWNLOAD = "download it again and compare its size with that on the page"
_KERAS = "convert it to PyTorch first, for example with the tool of the library that published it"
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write it", _KERAS),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself", "type: git lfs pull"),
    (b"\x1f\x8b", "compressed by gzip", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed by xz", _UNPACK),
    (b"BZh", "compressed by bzip2", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"GGUF", "a GGUF file, as llama.cpp reads it", _TENSORS),
    (b"\x93NUMPY", "a NumPy array", _TENSORS),
    (b"\x89PNG", "a picture (PNG)", ""),
    (b"\xff\xd8\xff", "a picture (JPEG)", ""),
    (b"%PDF", "a PDF document", ""),
)


@dataclass(frozen=True)
class FileKind:
    """The kind of a file.

    Args:
        reader: The library that reads it; None: tlx cannot read it.
        what: The kind, as text.
        hint: What to do instead.
    """

    reader: Literal["torch", "safetensors"] | None
    what: str
    hint: str = ""


def kind_of(path: Path) -> FileKind | None:
    """Return the kind of the file at a path; None if there is none.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        return None
    if not path.is_file():  # opening a pipe would wait for ever
        return FileKind(None, "a device or a pipe, not a regular file")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return _binary(path, head, size) or _text(head) or FileKind(None, "a file of unknown format", _TENSORS)


def no_such_file(path: Path) -> tuple[str, str]:
    """Return a description of a path without a file, and a hint with the most similar name, or ''."""
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = closest(path.name, beside)
    return "no such file", f"did you mean '{path.parent / near}'?" if near else ""


def _binary(path: Path, head: bytes, size: int) -> FileKind | None:
    if not head:
        return FileKind(None, "an empty file", _DOWNLOAD)
    if not any(head) and len(head) >= 16:
        return FileKind(None, "only zeros, as after an interrupted download", _DOWNLOAD)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path, size)
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:
        if _TORCH_LEGACY in head[:32]:
            return FileKind("torch", "a file of torch.save in the format before torch 1.6")
        return FileKind(None, "a pickle of Python objects, not a file of torch.save", _TENSORS)
    if head[257:262] == b"ustar":
        return _tar(path)
    if (safe := _safetensors(head, size)) is not None:
        return safe
    if head[4:8] == b"TFL3":
        return FileKind(None, "a TensorFlow Lite model", _KERAS)
    for begin, what, hint in _BEGINNINGS:
        if head.startswith(begin):
            return FileKind(None, what, hint)
    if head[:1] == b"\x08" and (b"onnx" in head.lower() or b"pytorch" in head or path.suffix.lower() == ".onnx"):
        return FileKind(None, "an ONNX model", f"use the weights that it was exported from; {_TENSORS}")
    if b"saved_model" in head or path.name == "saved_model.pb" or path.suffix.lower() == ".pb":
        return FileKind(None, "a TensorFlow model", _KERAS)
    if path.suffix == ".index" or ".data-0000" in path.name:
        return FileKind(None, "a part of a TensorFlow checkpoint", _KERAS)
    return None


def _text(head: bytes) -> FileKind | None:
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        hint = "download the file itself: the address led to an error page or a login page"
        return FileKind(None, "a web page", hint)
    try:
        words = head[: _HEAD - 4].decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not all(letter.isprintable() or letter in "\r\n\t" for letter in words):
        return None
    if words.lstrip().startswith("{") and '"weight_map"' in words:
        return FileKind(None, "the index of weights in several files", "join them into one file first")
    beginning = " ".join(words.split())[:40]
    return FileKind(None, f"a text: {beginning}" if beginning else "a text of white space only", _DOWNLOAD)


def _zip(path: Path, size: int) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return FileKind(None, f"truncated or damaged: its end is missing after {size:,} bytes", _DOWNLOAD)
    inside = {name.partition("/")[2] for name in names}
    if "data.pkl" in inside and "constants.pkl" in inside:
        hint = f"convert it: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth')"
        return FileKind(None, "a TorchScript model (torch.jit.save), which contains code", hint)
    if "data.pkl" in inside:
        return FileKind("torch", "a file of torch.save")
    if any("saved_exported_program" in name or name.endswith("archive_format") for name in names):
        return FileKind(None, "a program of torch.export", _TENSORS)
    if any(name.endswith(".weights.h5") for name in names):
        return FileKind(None, "a Keras model", _KERAS)
    if names and all(name.endswith(".npy") for name in names):
        return FileKind(None, "NumPy arrays (.npz)", _TENSORS)
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return FileKind(None, f"a zip archive of {shown or 'nothing'}", _UNPACK)


def _tar(path: Path) -> FileKind:
    import tarfile

    try:
        with tarfile.open(path, "r:") as archive:
            names = [archive.next() for _ in range(4)]
    except (tarfile.TarError, OSError, ValueError):
        names = []
    if {"pickle", "storages", "tensors"} <= {str(member.name) for member in names if member is not None}:
        hint = f"if you trust it, load it with torch and save it again: {_TENSORS.partition(': ')[2]}"
        return FileKind(None, "a file of torch.save in the format of 2016, which only running its code can read", hint)
    return FileKind(None, "a tar archive", _UNPACK)


def _safetensors(head: bytes, size: int) -> FileKind | None:
    length = int.from_bytes(head[:8], "little")
    if len(head) < 10 or head[8:9] != b"{" or not 2 <= length <= 100_000_000:
        return None
    if head[9:10] not in b'"} \n\r\t':
        return None
    if 8 + length > size:
        return FileKind(None, f"truncated: a safetensors file with a header of {length:,} bytes", _DOWNLOAD)
    return FileKind("safetensors", "a safetensors file")


def _folder(path: Path) -> FileKind:
    """Return the kind of a folder, such as one from a model hub, with a hint to the file in it."""
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
    likely = [n for n in names if n.endswith((".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar"))]
    return FileKind(None, "a folder", f"did you mean '{path / likely[0]}'?" if likely else "name the file in it")
