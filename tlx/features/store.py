"""The folder in which outputs of frozen layer groups are kept: entries, their size, age and owners. Free of torch.

An entry is a folder named by its key. It holds segments (`tlx/features/segments.py`); `about.json`, whose time of
change is when the entry was last used; and `.lock`, which is held by the process that adds to it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tlx.data.facts_store import cache_folder
from tlx.errors import TlxError
from tlx.files import is_locked, locked, write_text

log = logging.getLogger("tlx")
GB = 10**9
_SPARE = GB  # bytes of the disk that are left to others
_OWNERS = 20  # runs that an entry remembers


@dataclass(frozen=True)
class Entry:
    """What one frozen prefix gave."""

    folder: Path

    @property
    def key(self) -> str:
        """Hash of what its rows are made by."""
        return self.folder.name

    @cached_property
    def about(self) -> dict[str, Any]:
        """`backbone`, `boundary`, `size` (pixels), `precision`, `device` and `owners`, run -> data set."""
        try:
            held: dict[str, Any] = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return held

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        total = 0
        for path in self.folder.glob("*"):
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
        owners = dict(self.about.get("owners", {}))
        owners.pop(owner, None)
        owners = dict([*owners.items(), (owner, dataset)][-_OWNERS:])
        self.__dict__.pop("about", None)
        write_text(self.folder / "about.json", json.dumps({**about, "owners": owners}, indent=2))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that adds to it. What a killed process left half written is removed."""

        def waiting() -> None:
            log.info("cache: waits for the process that computes the same (%s)", self.key)

        with locked(self.folder / ".lock", waiting):
            for rest in self.folder.glob("*.tmp"):
                rest.unlink(missing_ok=True)
            yield

    def remove(self) -> None:
        """Delete it; a process that has it open goes on reading."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Store:
    """All entries of a folder.

    Args:
        folder: Where they lie; None: `features` in tlx's cache.
        max_gb: Most gigabytes (10^9 bytes) that they may take together.

    Raises:
        TlxError: The folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, max_gb: float = float("inf")) -> None:
        self.folder = _folder(folder)
        self.max_bytes = max_gb * GB

    def entries(self) -> list[Entry]:
        """All entries, the one used last first."""
        found = [Entry(path) for path in self.folder.iterdir() if path.is_dir()]
        return sorted(found, key=lambda entry: -entry.used)

    def entry(self, key: str) -> Entry:
        """The entry of a key; its folder is made where it is missing."""
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        return Entry(folder)

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
        return [f"{store.folder}: empty"]
    rows = [("entry", "size", "used", "what", "of")]
    for entry in entries:
        about = entry.about
        what = "{backbone} up to {boundary}, {size} px, {precision}".format_map(
            {key: about.get(key, "?") for key in ("backbone", "boundary", "size", "precision")}
        )
        owners = list(about.get("owners", {}).items())
        of = f"{owners[-1][1]}: {owners[-1][0]}" if owners else "?"
        of += f" and {len(owners) - 1} more" if len(owners) > 1 else ""
        rows.append((entry.key[:12], gigabytes(entry.bytes), _ago(time.time() - entry.used), what, of))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(f"{c:<{w}}" for c, w in zip(row[:4], widths, strict=True)), row[4]]) for row in rows]
    total = sum(entry.bytes for entry in entries)
    return [*lines, f"{count(entries)}, {gigabytes(total)} in {store.folder}"]


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"


def _folder(told: str | os.PathLike[str] | None) -> Path:
    base = cache_folder() if told is None else Path(told).expanduser()
    if base is None:
        raise TlxError("cache.dir: expected a folder that can be written, got none; set cache.dir or TLX_CACHE")
    try:
        (base / "features").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TlxError(f"cache.dir: expected a folder that can be made, got '{base}': {error.strerror}") from error
    return base / "features"
