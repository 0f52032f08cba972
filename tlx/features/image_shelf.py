"""Decoded images as entries of the cache; `tlx.data.batches.kept` reads and writes them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tlx.base.files import locked
from tlx.features.store import SPARE, Entry, Store

log = logging.getLogger("tlx")
_PART = 0.5  # of cache.max_gb that an entry of images may take, so that outputs of layer groups find room beside it


class ImageShelf:
    """Folders for decoded images, a `tlx.data.batches.kept.Shelf`.

    Args:
        store: The entries.
        owner: Name of the user of the images: the run directory.
        dataset: Name of their set.
    """

    def __init__(self, store: Store, owner: str, dataset: str) -> None:
        self.store, self.owner, self.dataset = store, owner, dataset

    def folder(self, key: str, about: Mapping[str, Any]) -> Path:
        """Return the folder of an entry; create it if it is missing, and record who uses it.

        Raises:
            TlxError: It cannot be created.
        """
        entry = self.store.entry(key)
        entry.note(about, self.owner, self.dataset)
        return entry.folder

    def alone(self, folder: Path) -> AbstractContextManager[object]:
        """Lock an entry while places are added to it."""
        return locked(folder / ".lock", lambda: log.info("images: waiting for another process that begins with them"))

    def room(self, folder: Path, held: int, needed: int) -> int:
        """Make room for more bytes in an entry; the least recently used entries give way.

        Args:
            folder: The entry.
            held: Bytes of its places, filled or not.
            needed: Bytes of further places.

        Returns:
            How many of these it may have.
        """
        wanted = int(min(needed, _PART * self.store.max_bytes - held))
        if wanted <= 0:
            return 0
        self.store.make_room(wanted, {folder.name})
        others = sum(entry.bytes for entry in self.store.entries() if entry.folder != folder)
        empty = held - min(held, Entry(folder).bytes)  # places that will still be filled
        free = shutil.disk_usage(folder).free - SPARE - empty
        return max(0, int(min(wanted, self.store.max_bytes - others - held, free)))
