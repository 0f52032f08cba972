"""The facts of files on disk, kept between runs: a file that has not changed is not opened again.

One SQLite file for all sets of this user. Several processes may use it at once. Nothing depends on it: where it cannot
be read or written the files are opened again, and where it is damaged it is made anew.
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
from tlx.data.reading.file_facts import FileFacts

_NAME = "facts.sqlite"
_PARTS = ("", "-journal", "-wal", "-shm")  # of a database on disk
_GREATEST = 2**63  # whole numbers that SQLite holds are below it
_PATIENCE = 30.0  # seconds that another process may be writing
_COLUMNS = "path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, rules TEXT, facts TEXT"

F = TypeVar("F", bound=FileFacts)
Stamp = tuple[int, int]  # size in bytes and time of the last change in nanoseconds


def cache_folder() -> Path | None:
    """Where tlx keeps what can be made again: TLX_CACHE, or `tlx` in XDG_CACHE_HOME or ~/.cache; None: nowhere."""
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
        """Return what is known of those files that are as they were.

        Args:
            stamps: Absolute path -> stamp that the file has now.
            decoded: Whether facts of files that were only hashed are not enough.
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
        """Keep facts; not those of files that could not be read this time, or whose time no database can hold."""
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
        """Let one process at a time open the files of `what`; a process that is killed lets the next one in."""
        if self._file is None:
            yield
            return
        name = f"lock-{blake2b(os.fsencode(what), digest_size=8).hexdigest()}"
        with ExitStack() as held:
            with suppress(OSError):  # a cache that cannot be written
                held.enter_context(locked(self._file.with_name(name), waiting=lambda: None))
            yield

    def _do(self, action: Callable[[sqlite3.Connection], object]) -> None:
        """Run `action(database)` in a transaction; without a cache that works, nothing happens."""
        for _ in range(2):
            if self._file is None:
                return
            try:
                if any(self._beside(suffix).is_symlink() for suffix in _PARTS):
                    self._file = None  # nothing is written through a link
                    return
                with closing(sqlite3.connect(self._file, timeout=_PATIENCE)) as database, database:
                    if _is_of_others(database):
                        self._file = None
                        return
                    database.execute(f"CREATE TABLE IF NOT EXISTS {self.kind.table} ({_COLUMNS}) WITHOUT ROWID")
                    action(database)
                return
            except sqlite3.OperationalError:  # read-only, full, locked for long: done without
                self._file = None
            except sqlite3.DatabaseError:  # damaged: made anew
                self._put_aside()

    def _put_aside(self) -> None:
        """Give a file that is no database another name: it may be somebody's, and is not deleted."""
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


def _is_of_others(database: sqlite3.Connection) -> bool:
    """Whether a database has tables and none of tlx's."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return bool(names) and not any(name.startswith("facts") for name in names)
