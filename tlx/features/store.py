"""The folder in which outputs of frozen layer groups are kept: entries, their size, age and owners. Free of torch.

An entry is a folder named by its key. It holds segments (`tlx/features/segments.py`); `about.json`, whose time of
change is when the entry was last used; `.lock`, which is held by the process that adds to it; and a mark, by which it
is known for an entry. The folder of entries may be one that others use, too: what is no entry, or no file of one, is
not counted and not removed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.files import create, is_locked, locked, temporary_of, write_text
from tlx.base.printable import one_line
from tlx.data.reading.facts_store import cache_folder
from tlx.records import read_json

log = logging.getLogger("tlx")
GB = 10**9
_SPARE = GB  # bytes of the disk that are left to others
_OWNERS = 20  # runs that an entry remembers
NO_FOLDER = "no such folder; tlx makes it when there is something to keep"
_SHOWN = 10  # names of what is no entry
MARK = ".tlx-entry"
_KEY = re.compile(r"[0-9a-f]{32}")
_OLD_SEGMENT = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")  # what stands before `.PROCESS.tmp`, as tlx 0.1 wrote it


@dataclass(frozen=True)
class Entry:
    """What one frozen prefix gave."""

    folder: Path

    @property
    def exists(self) -> bool:
        """Whether the folder is an entry: it bears the mark, or is one of tlx 0.1, which set none."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            return False
        if (self.folder / MARK).is_file():
            return True
        try:
            found = list(os.scandir(self.folder))
        except OSError:
            return False
        return bool(_KEY.fullmatch(self.key)) and all(
            one.is_file(follow_symlinks=False) and _is_own(one.name) for one in found
        )

    @property
    def files(self) -> list[Path]:
        """Its own files; others may have put more into the folder."""
        return [path for path in self.folder.glob("*") if _is_own(path.name)]

    @property
    def key(self) -> str:
        """Hash of what its rows are made by."""
        return self.folder.name

    @cached_property
    def about(self) -> dict[str, Any]:
        """`backbone`, `boundary`, `size` (pixels), `precision`, `device`; {} where it is damaged."""
        try:
            held = read_json(self.folder / "about.json", "what an entry of the cache is")
        except (FileNotFoundError, TlxError):
            return {}
        return held if isinstance(held, dict) else {}

    @property
    def owners(self) -> dict[str, str]:
        """The runs that used it, the last one last, with their data sets."""
        held = self.about.get("owners")
        return {run: str(dataset) for run, dataset in held.items()} if isinstance(held, dict) else {}

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        total = 0
        for path in self.files:
            with suppress(OSError):
                total += path.stat().st_size
        return total

    @property
    def used(self) -> float:
        """When it was last used, in seconds since 1970; 0 where it does not tell."""
        try:
            return (self.folder / "about.json").stat().st_mtime
        except OSError:
            return 0.0

    def note(self, about: Mapping[str, Any], owner: str, dataset: str) -> None:
        """Remember what it is and who uses it now."""
        owners = self.owners
        owners.pop(owner, None)
        owners = dict([*owners.items(), (owner, dataset)][-_OWNERS:])
        self.__dict__.pop("about", None)
        write_text(self.folder / "about.json", json.dumps({**about, "owners": owners}, indent=2))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that adds to it. Files of its own that a killed process left half written are removed."""

        def waiting() -> None:
            log.info("cache: waits for the process that computes the same (%s)", self.key)

        with locked(self.folder / ".lock", waiting):
            for path in self.files:
                if path.suffix == ".tmp":
                    path.unlink(missing_ok=True)
            yield

    def remove(self) -> None:
        """Delete its own files, and its folder once that is empty; a process that has it open goes on reading."""
        for path in sorted(self.files, key=lambda path: path.name == MARK):  # the mark last: a kill leaves an entry
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()


class Store:
    """All entries of a folder.

    Args:
        folder: Where they lie; None: `features` in tlx's cache.
        max_gb: Most gigabytes (10^9 bytes) that they may take together.
        make: Whether to make the folder; without it a folder that is missing has no entries.

    Raises:
        TlxError: The folder cannot be made, or cannot be listed.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, max_gb: float = float("inf"), make: bool = True
    ) -> None:
        self.folder = _folder(folder, make)
        self.max_bytes = max_gb * GB

    def entries(self) -> list[Entry]:
        """All entries, the one used last first."""
        return sorted((entry for entry in self._found() if entry.exists), key=lambda entry: -entry.used)

    def others(self) -> list[str]:
        """Names of what lies in the folder and is no entry."""
        return sorted(entry.key for entry in self._found() if not entry.exists)

    def _found(self) -> list[Entry]:
        try:
            return [Entry(path) for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TlxError(
                f"cache.dir: expected a folder that can be listed, got '{self.folder}': {error.strerror}"
            ) from error

    def entry(self, key: str) -> Entry:
        """The entry of a key; its folder is made where it is missing.

        Raises:
            TlxError: Something else is in its place.
        """
        entry = Entry(self.folder / key)
        if not entry.exists:
            try:
                entry.folder.mkdir(parents=True)
            except FileExistsError:
                if not entry.exists:  # made by another process just now
                    raise TlxError(
                        f"cache.dir: expected a folder of tlx's own, got {one_line(entry.folder)}, which holds "
                        "something else; move it elsewhere, or set another cache.dir"
                    ) from None
        with suppress(OSError):  # there, or a full disk: its name and its files tell what it is, too
            create(entry.folder / MARK).close()
        return entry

    def room(self) -> float:
        """Bytes that a new entry may have once everything else is gone that no process adds to."""
        free = shutil.disk_usage(self.folder).free + sum(entry.bytes for entry in self.entries())
        return min(self.max_bytes, free - _SPARE)

    def make_room(self, needed: int, keep: set[str]) -> None:
        """Remove what was not used for longest until `needed` more bytes fit; entries in `keep` stay."""
        entries = self.entries()
        sizes = {entry.key: entry.bytes for entry in entries}
        while entries and (
            sum(sizes.values()) + needed > self.max_bytes
            or shutil.disk_usage(self.folder).free - _SPARE < needed
        ):  # fmt: skip
            oldest = entries.pop()
            if oldest.key in keep or is_locked(oldest.folder / ".lock"):
                continue
            log.info("cache: %s removed, %s, to make room", oldest.key, gigabytes(sizes.pop(oldest.key)))
            oldest.remove()

    def find(self, names: list[str]) -> list[Entry]:
        """Return the entries whose keys begin with the given words; all where none is given.

        Raises:
            TlxError: There is no such entry.
        """
        entries = self.entries()
        keys = [entry.key for entry in entries]
        for name in names:
            if not any(key.startswith(name) for key in keys):
                raise TlxError(f"cache: expected the key of an entry, got '{name}'; tlx cache lists them")
        return [e for e in entries if not names or any(e.key.startswith(name) for name in names)]


def gigabytes(size: float) -> str:
    """Return a size in a unit that suits it."""
    for unit, factor in (("GB", GB), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"


def count(entries: Sequence[Entry]) -> str:
    """Return how many they are, in words."""
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def table(store: Store) -> list[str]:
    """Return the entries as lines for a person: key, size, age, what it is, who used it."""
    entries = store.entries()
    if not entries:
        return [f"{one_line(store.folder)}: {'no entry' if store.folder.exists() else NO_FOLDER}", *left_alone(store)]
    rows = [("entry", "size", "used", "what", "of")]
    for entry in entries:
        about = entry.about
        what = "{backbone} up to {boundary}, {size} px, {precision}".format_map(
            {key: about.get(key, "?") for key in ("backbone", "boundary", "size", "precision")}
        )
        owners = list(entry.owners.items())
        of = f"{owners[-1][1]}: {owners[-1][0]}" if owners else "?"
        of += f" and {len(owners) - 1} more" if len(owners) > 1 else ""
        rows.append((entry.key[:12], gigabytes(entry.bytes), _ago(time.time() - entry.used), what, of))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(f"{c:<{w}}" for c, w in zip(row[:4], widths, strict=True)), row[4]]) for row in rows]
    total = sum(entry.bytes for entry in entries)
    total_line = f"{count(entries)}, {gigabytes(total)} in {one_line(store.folder)}"
    return [*map(one_line, lines), total_line, *left_alone(store)]


def left_alone(store: Store) -> list[str]:
    """Return a line that names what lies among the entries and is none; no line where there is nothing."""
    others = store.others()
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    named = ", ".join(map(one_line, others[:_SHOWN]))
    return [f"left alone, no entry of the cache: {named}{more}"] if others else []


def _is_own(name: str) -> bool:
    """Whether a file in an entry has a name that tlx gives."""
    whole = temporary_of(name)
    if whole is not None:
        return bool(_OLD_SEGMENT.fullmatch(whole)) or _is_own(whole)
    return name in (MARK, "about.json", ".lock") or name.endswith(".rows")


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"


def _folder(told: str | os.PathLike[str] | None, make: bool) -> Path:
    base = cache_folder() if told is None else Path(told).expanduser()
    if base is None:
        raise TlxError("cache.dir: expected a folder that can be written, got none; set cache.dir or TLX_CACHE")
    if told == "":
        raise TlxError("cache.dir: expected a folder, got an empty text; type '.' for the current one")
    if not make:
        return base / "features"
    try:
        (base / "features").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TlxError(f"cache.dir: expected a folder that can be made, got '{base}': {error.strerror}") from error
    return base / "features"
