"""What a set is, wherever it lies: a hash of its content in place of its path. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.data.files.image_files import EXTENSIONS, images_below
from tlx.data.files.walk import files_below, passing_over
from tlx.data.sources.layout import read_layout
from tlx.data.sources.split_folders import Splits
from tlx.data.sources.table_images import locate
from tlx.data.sources.tablefile import Columns, image_root, read_table

_NAMED_BY_THEIR_NAME = {"tlx.data.digits", "tlx.data.torchvision_set", "tlx.data.letters", "tlx.data.plates"}


def content_identity(dataset: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what stands in the identity of a run in place of the keys `root` and `path` of a composed dataset node.

    A folder is a hash of the names, relative to it, and sizes of its images: the same after it was moved or copied,
    another one after an image was added, removed, renamed or changed in size. A table is a hash of its own bytes and of
    the sizes of the images that it names; a .npz file one of its bytes.
    Sets that their name says all about are {}; None means that the path must stand for itself, as of a source of the
    user's own; {"missing": True} that there is nothing there.
    """
    target = dataset.get("_target_")
    if target in _NAMED_BY_THEIR_NAME:
        return {}
    try:
        with passing_over(dataset.get("on_bad") == "skip"):
            return _content(target, dataset)
    except (TlxError, OSError, KeyError, TypeError):
        return {"missing": True}


def _content(target: Any, dataset: Mapping[str, Any]) -> dict[str, Any] | None:
    if target == "tlx.data.folder":
        return {"content": _folder(Path(dataset["root"]).expanduser(), dataset.get("splits"))}
    if target == "tlx.data.unlabelled":
        root = Path(dataset["root"]).expanduser()
        return {"content": _digest(b"", [(str(p.relative_to(root)), _size(p)) for p in images_below(root)])}
    if target == "tlx.data.table":
        return {"content": _table(dataset)}
    if target == "tlx.data.arrays":
        return {"content": _digest(Path(dataset["path"]).expanduser().read_bytes(), [])}
    return None


def _folder(root: Path, splits: Splits | None) -> str:
    return _digest(
        b"",
        [
            (os.path.join(here, name)[len(str(root)) :], _size(os.path.join(here, name)))
            for place in read_layout(root, splits).places
            for here, name in files_below(place)
            if os.path.splitext(name)[1].lower() in EXTENSIONS
        ],
    )


def _table(dataset: Mapping[str, Any]) -> str:
    path = Path(dataset["path"]).expanduser()
    base = image_root(path, dataset.get("root"))
    rows = read_table(path, Columns.of(dataset)).rows
    located = locate(path, rows, base, dataset.get("extension"))
    pairs = zip(located.rows, located.files, strict=True)
    return _digest(path.read_bytes(), [(row.path, _size(file)) for row, file in pairs])


def _size(file: str | Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def _digest(start: bytes, entries: list[tuple[str, int]]) -> str:
    digest = blake2b(start, digest_size=16)
    for name, size in sorted(entries):
        digest.update(os.fsencode(name) + f"\0{size}\0".encode())
    return digest.hexdigest()
