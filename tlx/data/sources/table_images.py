"""Find the files that the paths of a table mean. Only the standard library."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tlx.base.legible import composed
from tlx.data.files.image_files import EXTENSIONS
from tlx.data.sources.table_rows import Row, contradiction


@dataclass(frozen=True)
class Located:
    """The images that a table lists.

    Args:
        rows: One row for each file.
        files: The files, in the same order; for a missing file, its path in the table.
        missing: Paths of missing files.
        notes: Remarks for the user, one line each.
    """

    rows: list[Row]
    files: list[Path]
    missing: list[str]
    notes: tuple[str, ...]


def locate(table: str | os.PathLike[str], rows: Sequence[Row], base: Path, extension: str | None = None) -> Located:
    """Find the file of each row; rows with the same file count once.

    If a path does not exist as written, it is tried with `/` instead of Windows' `\\`, and in the Unicode form of the
    names on disk.

    Args:
        table: Path of the table, for messages.
        rows: Rows from `tlx.data.sources.table_rows.read_table`.
        base: Folder to which paths are relative.
        extension: Extension added to paths that do not end in it, such as `.jpg`.

    Raises:
        TlxError: Two rows with the same file contradict each other.
    """
    folders, root = _Folders(), str(base)
    first: dict[str, Row] = {}
    files: list[Path] = []
    missing: list[str] = []
    turned = 0
    for row in rows:
        path = row.path if extension is None or row.path.lower().endswith(extension.lower()) else row.path + extension
        file = os.path.join(root, path)
        if not os.path.exists(file):
            found = folders.find(root, path)
            turned += found is not None and "\\" in path
            if found is None:
                missing.append(row.path)
            file = found or file
        key = folders.key(file)
        known = first.setdefault(key, row)
        if known is row:
            files.append(Path(file))
        elif (known.label, known.split, known.group) != (row.label, row.split, row.group):
            raise contradiction(Path(table), known, row)
    note = f"{turned:,} paths of the table contain \\, which is read as /"
    return Located(list(first.values()), files, missing, (note,) if turned else ())


def extension_of(missing: Sequence[str], base: Path) -> str | None:
    """Return the extension with which all missing files exist; None if there is none."""
    found: Counter[str] = Counter()
    folders = _Folders()
    for path in missing:
        whole = PurePosixPath(path.replace("\\", "/"))
        names = folders.names(str(base / whole.parent))
        found.update({Path(name).suffix for name in names.values() if Path(name).stem == whole.name} & _UPPER_AND_LOWER)
    best, count = max(found.items(), key=lambda item: item[1], default=("", 0))
    return best if count == len(missing) and missing else None


_UPPER_AND_LOWER = EXTENSIONS | {extension.upper() for extension in EXTENSIONS}


class _Folders:
    """The contents of folders; each is listed once."""

    def __init__(self) -> None:
        self.real = functools.cache(os.path.realpath)
        self.listed: dict[str, dict[str, str]] = {}

    def key(self, file: str) -> str:
        """Return a path that is equal for all spellings of a file; links to folders are resolved, to files not."""
        folder, name = os.path.split(file)
        return os.path.join(self.real(folder), name)

    def names(self, folder: str) -> dict[str, str]:
        """Return the entries of a folder: name in composed form -> name on disk."""
        if folder not in self.listed:
            try:
                self.listed[folder] = {composed(name): name for name in os.listdir(folder)}
            except OSError:
                self.listed[folder] = {}
        return self.listed[folder]

    def find(self, base: str, path: str) -> str | None:
        """Return the file of a path in another spelling; None if there is none."""
        file = base
        for part in path.replace("\\", "/").split("/"):
            name = part if part in ("", ".", "..") else self.names(file).get(composed(part))
            if name is None:
                return None
            file = os.path.join(file, name) if name else file
        return file if os.path.exists(file) else None
