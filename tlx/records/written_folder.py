"""A folder that a command writes with `-o`: a new or empty one, or one that it wrote before, and nothing else.

A list in the folder names the files that tlx wrote. Only these are replaced or removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import ClassVar

from tlx.base.errors import TlxError
from tlx.base.files import cannot_write, temporary_of
from tlx.base.places import why_not_writable
from tlx.base.printable import enumerated, one_line
from tlx.records.ownership import refuse_links
from tlx.records.written_names import read_names, write_names

_LONGEST_LIST = 2**28  # bytes
_SHOWN = 5


class WrittenFolder:
    """A folder of results.

    Args:
        folder: The folder; it may be a link, but nothing in it may be one.

    Attributes:
        command: The command that writes it.
        holds: What it holds.
        list_name: The name of its list of files.
    """

    command: ClassVar[str]
    holds: ClassVar[str]
    list_name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def refuse(self) -> None:
        """Refuse a path to which nothing can be written, before spending minutes on results.

        Raises:
            TlxError: Nothing can be written there; the message says what is there.
        """
        own = f"-o: expected a new or empty folder, or one that {self.command} wrote"
        named = f"{own}, got '{one_line(self.folder)}'"
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise TlxError(f"{named}, which is not a folder; name another")
        reason = why_not_writable(self.folder)
        if reason:
            raise TlxError(f"-o: expected a writable folder, got '{one_line(self.folder)}' ({reason})")
        found = [name for name in _listed(self.folder) if temporary_of(name) != self.list_name]
        if found and self._read() is None:
            raise TlxError(f"{named}, which holds {enumerated([*map(one_line, found)], _SHOWN)}; name another")

    def is_written(self) -> bool:
        """Return whether the command has written into it."""
        return bool(self._read())

    def start(self, names: Sequence[str]) -> None:
        """List the files that will be written, and remove those of an earlier command.

        Args:
            names: Names of files in the folder, with `/`.

        Raises:
            TlxError: The folder is refused, or it holds a link or a file that tlx did not write under one of the names.
        """
        self.refuse()
        earlier = self._read() or []
        # Folders first: a file below a link to elsewhere is not in this folder.
        folders = {str(parent) for name in (*earlier, *names) for parent in PurePosixPath(name).parents if parent.parts}
        refuse_links(self.folder / name for name in (self.list_name, *sorted(folders), *names))
        taken = [name for name in {*names} - {*earlier} if os.path.lexists(self.folder / name)]
        if taken:
            raise TlxError(
                f"-o: expected only files of tlx under the names of {self.holds} in '{one_line(self.folder)}', got "
                f"{enumerated(sorted(map(one_line, taken)), _SHOWN)}; move them elsewhere, or name another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        self._write([*earlier, *names])
        for path in [
            *self._leftovers({*earlier, self.list_name}),
            *(self.folder / name for name in {*earlier} - {*names}),
        ]:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error
        for name in sorted(folders, key=len, reverse=True):
            with suppress(OSError):  # it holds other files, or does not exist
                (self.folder / name).rmdir()
        self._write(names)

    @property
    def _key(self) -> str:
        return f"written_by_{self.command.replace(' ', '_')}"

    def _read(self) -> list[str] | None:
        """Return the list; None if there is none, or tlx did not write it."""
        names = read_names(self.folder / self.list_name, self._key, _LONGEST_LIST)
        return None if names is None else [name for name in names if _is_inside(name)]

    def _write(self, names: Iterable[str]) -> None:
        write_names(self.folder / self.list_name, self._key, names)

    def _leftovers(self, known: set[str]) -> Iterator[Path]:
        """Yield half-written files, which a kill left under temporary names."""
        for folder in {str(PurePosixPath(name).parent) for name in known}:
            for name in _listed(self.folder / folder):
                whole = temporary_of(name)
                if whole is not None and str(PurePosixPath(folder, whole)) in known:
                    yield self.folder / folder / name


def _is_inside(name: str) -> bool:
    """Return whether a name leads to a file in the folder; a list may come from elsewhere."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
