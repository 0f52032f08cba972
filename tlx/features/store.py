"""The folder that stores outputs of frozen layer groups, and decoded images: size, age and owners. Free of torch.

An entry is a folder named by its key. It contains segments (`tlx/features/segments.py`), or the files of decoded images
(`tlx/data/batches/pixel_file.py`); `about.json`, whose
modification time is the time of last use; `.lock`, held by the process that adds to the entry; and a mark that
identifies it as an entry. Other programs may use the same folder: files that belong to no entry are neither counted
nor removed.
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
from tlx.data.batches.names import PIXELS, SLOTS
from tlx.data.reading.facts_store import cache_folder
from tlx.records import read_json

log = logging.getLogger("tlx")
GB = 10**9
SPARE = GB  # bytes of the disk that stay free
_OWNERS = 20  # most runs recorded in an entry
NO_FOLDER = "no such folder; tlx creates it when there is something to store"
_SHOWN = 10  # most names of other files in a message
MARK = ".tlx-entry"
_KEY = re.compile(r"[0-9a-f]{32}")
_OLD_SEGMENT = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")  # before `.PROCESS.tmp`, in files of tlx 0.1


@dataclass(frozen=True)
class Entry:
    """The stored output of one frozen prefix."""

    folder: Path

    @property
    def exists(self) -> bool:
        """Whether the folder is an entry: it has the mark, or is one of tlx 0.1, which set none."""
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
        """The entry's own files, without those that others put into the folder."""
        return [path for path in self.folder.glob("*") if _is_own(path.name)]

    @property
    def key(self) -> str:
        """Hash of all that determines its rows."""
        return self.folder.name

    @cached_property
    def about(self) -> dict[str, Any]:
        """`backbone`, `boundary`, `size` (pixels), `precision`, `device`; or `images`; {} if it is damaged."""
        try:
            held = read_json(self.folder / "about.json", "the description of a cache entry")
        except (FileNotFoundError, TlxError):
            return {}
        return held if isinstance(held, dict) else {}

    @property
    def owners(self) -> dict[str, str]:
        """The runs that used it, the most recent last -> their data sets."""
        held = self.about.get("owners")
        return {run: str(dataset) for run, dataset in held.items()} if isinstance(held, dict) else {}

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        total = 0
        for path in self.files:
            with suppress(OSError):
                found = path.stat()
                total += min(found.st_size, 512 * found.st_blocks)  # a place without an image takes no room
        return total

    @property
    def used(self) -> float:
        """Time of last use, in seconds since 1970; 0 if unknown."""
        try:
            return (self.folder / "about.json").stat().st_mtime
        except OSError:
            return 0.0

    def note(self, about: Mapping[str, Any], owner: str, dataset: str) -> None:
        """Record its description and the run that uses it."""
        owners = self.owners
        owners.pop(owner, None)
        owners = dict([*owners.items(), (owner, dataset)][-_OWNERS:])
        self.__dict__.pop("about", None)
        write_text(self.folder / "about.json", json.dumps({**about, "owners": owners}, indent=2))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the entry for adding rows. Remove its files that a killed process left half written."""

        def waiting() -> None:
            log.info("cache: waiting for another process that computes the same rows (%s)", self.key)

        with locked(self.folder / ".lock", waiting):
            for path in self.files:
                if path.suffix == ".tmp":
                    path.unlink(missing_ok=True)
            yield

    def remove(self) -> None:
        """Delete its own files, then its folder if empty. A process that has a file open can still read it."""
        for path in sorted(self.files, key=lambda path: path.name == MARK):  # the mark last: a kill leaves an entry
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()


class Store:
    """All entries of a folder.

    Args:
        folder: The entries are in its subfolder `features`; None: tlx's cache folder.
        max_gb: Maximum size of all entries together, in gigabytes (10^9 bytes).
        make: Whether to create the folder; a missing folder has no entries.

    Raises:
        TlxError: The folder cannot be created or listed.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, max_gb: float = float("inf"), make: bool = True
    ) -> None:
        self.folder = _folder(folder, make)
        self.max_bytes = max_gb * GB

    def entries(self) -> list[Entry]:
        """Return all entries, the most recently used first."""
        return sorted((entry for entry in self._found() if entry.exists), key=lambda entry: -entry.used)

    def others(self) -> list[str]:
        """Return the names of everything in the folder that is not an entry."""
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
        """Return the entry of a key; create its folder if it is missing.

        Raises:
            TlxError: Something else has its name.
        """
        entry = Entry(self.folder / key)
        if not entry.exists:
            try:
                entry.folder.mkdir(parents=True)
            except FileExistsError:
                if not entry.exists:  # another process has just created it
                    raise TlxError(
                        f"cache.dir: expected a folder of tlx's own, got {one_line(entry.folder)}, which holds "
                        "something else; move it elsewhere, or set another cache.dir"
                    ) from None
        with suppress(OSError):  # it exists, or a full disk: name and files identify it, too
            create(entry.folder / MARK).close()
        return entry

    def room(self) -> float:
        """Return the bytes available to a new entry if all others were removed."""
        free = shutil.disk_usage(self.folder).free + sum(entry.bytes for entry in self.entries())
        return min(self.max_bytes, free - SPARE)

    def make_room(self, needed: int, keep: set[str]) -> None:
        """Remove the least recently used entries until `needed` more bytes fit; those locked or in `keep` stay."""
        entries = self.entries()
        sizes = {entry.key: entry.bytes for entry in entries}
        while entries and (
            sum(sizes.values()) + needed > self.max_bytes
            or shutil.disk_usage(self.folder).free - SPARE < needed
        ):  # fmt: skip
            oldest = entries.pop()
            if oldest.key in keep or is_locked(oldest.folder / ".lock"):
                continue
            log.info("cache: removed %s, %s, to make room", oldest.key, gigabytes(sizes.pop(oldest.key)))
            oldest.remove()

    def find(self, names: list[str]) -> list[Entry]:
        """Return the entries whose keys begin with one of the names; all if there are no names.

        Raises:
            TlxError: A name fits no entry.
        """
        entries = self.entries()
        keys = [entry.key for entry in entries]
        for name in names:
            if not any(key.startswith(name) for key in keys):
                raise TlxError(f"cache: expected the key of an entry, got '{name}'; tlx cache lists them")
        return [e for e in entries if not names or any(e.key.startswith(name) for name in names)]


def gigabytes(size: float) -> str:
    """Return a size in bytes as text, in a suitable unit."""
    for unit, factor in (("GB", GB), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"


def count(entries: Sequence[Entry]) -> str:
    """Return the number of entries as text."""
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def table(store: Store) -> list[str]:
    """Return the entries as the lines of a table: key, size, age, content, users."""
    entries = store.entries()
    if not entries:
        return [f"{one_line(store.folder)}: {'no entry' if store.folder.exists() else NO_FOLDER}", *left_alone(store)]
    rows = [("entry", "size", "used", "what", "of")]
    for entry in entries:
        about = entry.about
        form = "images, {images}" if "images" in about else "{backbone} up to {boundary}, {size} px, {precision}"
        keys = ("images", "backbone", "boundary", "size", "precision")
        what = form.format_map({key: about.get(key, "?") for key in keys})
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
    """Return a line that names what else is in the folder; no line if there is nothing."""
    others = store.others()
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    named = ", ".join(map(one_line, others[:_SHOWN]))
    return [f"left in place, not part of the cache: {named}{more}"] if others else []


def _is_own(name: str) -> bool:
    """Return whether tlx gives this name to files of an entry."""
    whole = temporary_of(name)
    if whole is not None:
        return bool(_OLD_SEGMENT.fullmatch(whole)) or _is_own(whole)
    return name in (MARK, "about.json", ".lock", SLOTS, PIXELS) or name.endswith(".rows")


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"


def _folder(folder: str | os.PathLike[str] | None, make: bool) -> Path:
    base = cache_folder() if folder is None else Path(folder).expanduser()
    if base is None:
        raise TlxError("cache.dir: expected a folder that can be written, got none; set cache.dir or TLX_CACHE")
    if folder == "":
        raise TlxError("cache.dir: expected a folder, got an empty text; type '.' for the current one")
    if not make:
        return base / "features"
    try:
        (base / "features").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TlxError(f"cache.dir: expected a folder that can be made, got '{base}': {error.strerror}") from error
    return base / "features"
