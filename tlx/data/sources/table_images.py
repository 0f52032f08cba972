"""The files behind the paths of a table, however these are spelt. Only the standard library."""

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
    """The images that a table names.

    Args:
        rows: One a file.
        files: Theirs; of one that is not there the path as it stands in the table.
        missing: Paths of those that are not there.
        notes: What a person should be told, a line each.
    """

    rows: list[Row]
    files: list[Path]
    missing: list[str]
    notes: tuple[str, ...]


def locate(table: str | os.PathLike[str], rows: Sequence[Row], base: Path, extension: str | None = None) -> Located:
    """Find the file of each row; rows that are of one file count once.

    A path is taken as it stands, or else with `/` where Windows wrote `\\`, or in the Unicode form that its names have
    on the disk.

    Args:
        table: Its path, for messages.
        rows: From `tlx.data.sources.table_rows.read_table`.
        base: What paths are relative to.
        extension: What is added to paths that do not end in it, such as `.jpg`.

    Raises:
        TlxError: Two rows of one file contradict one another.
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
    told = f"{turned:,} paths of the table are written with \\ and read with /"
    return Located(list(first.values()), files, missing, (told,) if turned else ())


def extension_of(missing: Sequence[str], base: Path) -> str | None:
    """The extension with which files are there that a table names without one; None where that is not so of all."""
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
    """Folders, each looked at once."""

    def __init__(self) -> None:
        self.real = functools.cache(os.path.realpath)
        self.listed: dict[str, dict[str, str]] = {}

    def key(self, file: str) -> str:
        """What two spellings of one file have in common: folders are followed, a link to a file is a file."""
        folder, name = os.path.split(file)
        return os.path.join(self.real(folder), name)

    def names(self, folder: str) -> dict[str, str]:
        """Composed name -> name of what is in a folder."""
        if folder not in self.listed:
            try:
                self.listed[folder] = {composed(name): name for name in os.listdir(folder)}
            except OSError:
                self.listed[folder] = {}
        return self.listed[folder]

    def find(self, base: str, path: str) -> str | None:
        """The file of a path in another spelling, if there is one."""
        file = base
        for part in path.replace("\\", "/").split("/"):
            name = part if part in ("", ".", "..") else self.names(file).get(composed(part))
            if name is None:
                return None
            file = os.path.join(file, name) if name else file
        return file if os.path.exists(file) else None
