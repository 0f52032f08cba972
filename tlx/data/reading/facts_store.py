"""Store the facts of files between runs, so that an unchanged file is not opened again.

One SQLite file serves all sets of a user; several processes may use it at once. tlx also works without it: if it cannot
be read or written, files are opened again; if it is damaged, a new one is created.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import astuple
from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar

from tlx.base.files import locked
from tlx.data.reading.found import FileFacts

_NAME = "facts.sqlite"
_PARTS = ("", "-journal", "-wal", "-shm")  # of a database on disk
_GREATEST = 2**63  # SQLite's integers are smaller
_PATIENCE = 30.0  # seconds to wait while another process writes
_COLUMNS = "path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, rules TEXT, facts TEXT"

F = TypeVar("F", bound=FileFacts)
Stamp = tuple[int, int]  # size in bytes and time of the last change in nanoseconds


def cache_folder() -> Path | None:
    """Return the cache folder: TLX_CACHE, or `tlx` in XDG_CACHE_HOME or ~/.cache; None if it cannot be created."""
    own, shared = os.environ.get("TLX_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(own) if own else Path(shared or "~/.cache") / "tlx"
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder


class FactsStore(Generic[F]):
    """What is known of files, by path, size and time of the last change.

    Args:
        kind: Which facts.
    """

    def __init__(self, kind: type[F]) -> None:
        self.kind = kind
        folder = cache_folder()
        self._file = folder / _NAME if folder else None

    def get(self, stamps: Mapping[str, Stamp], decoded: bool) -> dict[str, F]:
        """Return the stored facts of unchanged files.

        Args:
            stamps: Maps an absolute path to the file's current stamp.
            decoded: Whether to return only facts of files that were decoded.
        """
        found: dict[str, F] = {}
        by_name = {os.fsencode(path): path for path in stamps}
        names = list(by_name)
        current = self.kind.rules()

        def look(database: sqlite3.Connection) -> None:
            for start in range(0, len(names), 500):
                some = names[start : start + 500]
                marks = ",".join("?" * len(some))
                for row in database.execute(f"SELECT * FROM {self.kind.table} WHERE path IN ({marks})", some):
                    name, size, mtime, by, text = row
                    path = by_name[name]
                    if (size, mtime) == stamps[path] and by == current:
                        facts = self.kind.of(json.loads(text))
                        if facts.decoded >= decoded:
                            found[path] = facts

        self._do(look)
        return found

    def put(self, entries: Iterable[tuple[str, Stamp, F]]) -> None:
        """Store facts, except those of temporarily unreadable files and of stamps that are too large for SQLite."""
        by = self.kind.rules()
        rows = [
            (os.fsencode(path), *stamp, by, json.dumps(astuple(f)))  # type: ignore[call-overload]
            for path, stamp, f in entries
            if f.lasting and all(-_GREATEST <= number < _GREATEST for number in stamp)
        ]
        if rows:
            self._do(lambda db: db.executemany(f"INSERT OR REPLACE INTO {self.kind.table} VALUES (?,?,?,?,?)", rows))

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Let one process at a time open the files of `what`; the lock of a killed process is released."""
        if self._file is None:
            yield
            return
        name = f"lock-{blake2b(os.fsencode(what), digest_size=8).hexdigest()}"
        with ExitStack() as held:
            with suppress(OSError):  # the cache is not writable
                held.enter_context(locked(self._file.with_name(name), waiting=lambda: None))
            yield

    def _do(self, action: Callable[[sqlite3.Connection], object]) -> None:
        """Run `action(database)` in a transaction; do nothing if the cache cannot be used."""
        for _ in range(2):
            if self._file is None:
                return
            try:
                if any(self._beside(suffix).is_symlink() for suffix in _PARTS):
                    self._file = None  # never write through a link
                    return
                with closing(sqlite3.connect(self._file, timeout=_PATIENCE)) as database, database:
                    if _is_foreign(database):
                        self._file = None
                        return
                    database.execute(f"CREATE TABLE IF NOT EXISTS {self.kind.table} ({_COLUMNS}) WITHOUT ROWID")
                    action(database)
                return
            except sqlite3.OperationalError:  # read-only, full, or locked for too long: continue without the cache
                self._file = None
            except sqlite3.DatabaseError:  # damaged: replace it
                self._put_aside()

    def _put_aside(self) -> None:
        """Rename a damaged database or another file in its place; nothing is deleted."""
        mark = secrets.token_hex(4)
        for suffix in _PARTS:
            try:
                self._beside(suffix).rename(self._beside(f"{suffix}.damaged-{mark}"))
            except FileNotFoundError:
                continue
            except OSError:
                self._file = None
                return

    def _beside(self, suffix: str) -> Path:
        assert self._file is not None
        return self._file.with_name(_NAME + suffix)


def _is_foreign(database: sqlite3.Connection) -> bool:
    """Return whether a database has tables, but none of tlx's."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return bool(names) and not any(name.startswith("facts") for name in names)
