"""Images that are kept after their first reading, so that later epochs decode nothing.

Without augmentation the transformed pixels are kept; otherwise the decoded pixels are, and are transformed each time.
They lie in a file that all reading processes share: in the cache, where the jobs of a sweep and later runs find them,
or in memory without a name. Room is bounded; images that find none are read again each time, with the same result.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from typing import Any, Protocol

from PIL import features
from torch import Tensor

from tlx.base.errors import TlxError
from tlx.base.gradients import no_gradients
from tlx.base.machine import jobs_at_once, memory_available
from tlx.base.ranks import rank_and_world
from tlx.data.batches.pixel_file import Damaged, PixelFile, Place, remove
from tlx.data.reading.facts import Facts, file_hash
from tlx.data.reading.pixels import reduction
from tlx.data.splits.samples import Split

log = logging.getLogger("tlx")
_IN_MEMORY, _IN_PAGE_CACHE = 1 / 4, 1 / 2  # of the available memory; the page cache gives it back when it is needed
_VERSION = 1  # of the stored pixels; a change invalidates all entries
_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_TRIED = 32  # images after which writing is given up where it takes too long
_TOO_LONG = 2.0  # times the seconds of decoding and transforming


class Shelf(Protocol):
    """The cache, as far as it stores images."""

    def folder(self, key: str, about: Mapping[str, Any]) -> Path:
        """Return the folder of an entry; create it if it is missing.

        Raises:
            TlxError: It cannot be created.
        """

    def alone(self, folder: Path) -> AbstractContextManager[object]:
        """Lock an entry."""

    def room(self, folder: Path, held: int, needed: int) -> int:
        """Make room for `needed` more bytes in an entry of `held` bytes; return how many it may have."""


@dataclass(frozen=True)
class Stored:
    """How images are found in the cache.

    Args:
        shelf: The cache.
        entry: Key of the entry: a hash of all that decides the pixels, besides the files.
        about: Description of the entry.
        keys: Key of each image, 16 bytes.
        files: File of each image, and the hash of its content for which the key was made.
    """

    shelf: Shelf
    entry: str
    about: Mapping[str, Any]
    keys: Sequence[bytes]
    files: Sequence[tuple[Path, str]]


class KeptImages:
    """uint8 pixels of images, by their position in a split.

    Args:
        sizes: Bytes of each image; an image of other than these is not kept. 0: unknown.
        transformed: Whether transformed pixels are kept, or decoded ones.
        places: The place in `sizes` of each sample of the split: several samples may show parts of one image; None:
            each sample has its own.
        stored: How they are found in the cache; None: they are kept in memory.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        transformed: bool,
        places: Sequence[int] | None = None,
        stored: Stored | None = None,
    ) -> None:
        self.transformed = transformed
        self._sizes, self._number, self._stored = sizes, places, stored
        self._file: PixelFile | None = None
        self._places: list[Place | None] = []
        self._opened = False
        self._asked = self._decoding = self._writing = 0.0  # seconds
        self._written = 0

    @property
    def size(self) -> int:
        """Total bytes."""
        return sum(self._sizes)

    @property
    def count(self) -> int:
        """Number of images found or kept so far, by this process and those that it has forked."""
        return 0 if self._file is None else self._file.counts()[0]

    @property
    def added(self) -> int:
        """Number of images that these processes have kept."""
        return 0 if self._file is None else self._file.counts()[1]

    def open(self) -> None:
        """Open the file, once; before that nothing is kept. Processes that are forked afterwards share it."""
        if self._opened:
            return
        self._opened = True
        if self._stored is None or not self._open_stored(self._stored):
            self._open_in_memory()
        there = [place.size for place in self._places if place is not None]
        wanted = [size for size in self._sizes if size]
        if len(there) < len(wanted) and rank_and_world()[0] == 0:
            log.info(
                "images: %s of %s are kept decoded (%.1f of %.1f GB; bounds: free memory, cache.max_gb, the disk)",
                f"{len(there):,}", f"{len(wanted):,}", sum(there) / 1e9, sum(wanted) / 1e9,
            )  # fmt: skip

    @no_gradients()
    def get(self, index: int) -> Tensor | None:
        """Return the pixels of an image, uint8 (C, H, W), (H, W, C) or (H, W), a new tensor; None if not kept."""
        place = self._place(index)
        pixels = None if place is None or self._file is None else self._file.get(place)
        if pixels is None:
            self._asked = time.perf_counter()
        return pixels

    def put(self, index: int, pixels: Tensor) -> None:
        """Keep an image (C, H, W) that `get` has just not found, unless there is no room, or its file changed."""
        place = self._place(index)
        if place is None or self._file is None:
            return
        start = time.perf_counter()
        try:
            if self._is_unchanged(index):
                self._file.put(place, pixels)
        except OSError:  # a full disk, or a file that has gone
            self._places = []
        self._decoding += start - self._asked
        self._writing += time.perf_counter() - start
        self._written += 1
        if self._written >= _TRIED and self._writing > _TOO_LONG * self._decoding:  # a disk slower than the decoder
            self._places = []

    def _place(self, index: int) -> Place | None:
        index = index if self._number is None else self._number[index]
        return self._places[index] if self._places else None

    def _is_unchanged(self, index: int) -> bool:
        """Return whether the file of an image has the content for which the key of its pixels was made."""
        if self._stored is None or self._file is None or self._file.folder is None:
            return True
        path, content = self._stored.files[index if self._number is None else self._number[index]]
        return file_hash(path) == content

    def _open_stored(self, stored: Stored) -> bool:
        """Find the places of the images in the cache; return whether that was possible."""
        wanted = list(zip(stored.keys, self._sizes, strict=True))
        try:
            folder = stored.shelf.folder(stored.entry, stored.about)
            with stored.shelf.alone(folder):
                for _ in range(2):
                    try:
                        file = PixelFile(folder)
                        self._file, self._places = file, self._reserve(file, wanted, stored)
                        return True
                    except Damaged:
                        remove(folder)
        except (OSError, TlxError) as error:
            log.info("images: kept in memory only (%s)", error)
        return False

    def _reserve(self, file: PixelFile, wanted: list[tuple[bytes, int]], stored: Stored) -> list[Place | None]:
        """Return the place of each image; places of other images give way where there is no room for these.

        Raises:
            Damaged: The file should be made anew.
        """
        known = [(key, size) for key, size in wanted if size]
        total, folder = sum(dict(known).values()), file.folder
        assert folder is not None

        def room(held: int, needed: int) -> int:
            found = stored.shelf.room(folder, held, needed)
            if found < needed and held > total - needed:
                raise Damaged("places of images that are no longer wanted fill the file")
            return min(found, _of_memory(_IN_PAGE_CACHE) - (total - needed))

        found = dict(zip([key for key, _ in known], file.reserve(known, room), strict=True))
        return [found.get(key) for key, _ in wanted]

    def _open_in_memory(self) -> None:
        most = _of_memory(_IN_MEMORY) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        wanted = [(number.to_bytes(16, "little"), size) for number, size in enumerate(self._sizes) if size]
        try:
            file = PixelFile(None)
            found = {place.key: place for place in file.reserve(wanted, lambda held, needed: most) if place is not None}
        except (OSError, Damaged):
            return
        self._file = file
        self._places = [found.get(number.to_bytes(16, "little")) for number in range(len(self._sizes))]


@dataclass(frozen=True)
class Storing:
    """What decides the pixels of a split's images, besides files and channels, and where they are stored.

    Args:
        shelf: The cache.
        decoded: Settings by which files are decoded.
        transformed: Settings, these included, by which images become inputs without augmentation.
        keys: Returns a hash of each sample: of the content of its file and of the part that it shows.
    """

    shelf: Shelf
    decoded: Mapping[str, Any]
    transformed: Mapping[str, Any]
    keys: Callable[[], Sequence[bytes]]


def images_to_keep(
    split: Split,
    facts: Mapping[Path, Facts],
    channels: int,
    min_side: int | None,
    size: tuple[int, int] | None,
    storing: Storing | None = None,
) -> KeptImages | None:
    """Return a store, not yet opened, for the images of a split; None if they should not be kept.

    Args:
        split: The samples.
        facts: Facts of their files.
        channels: Channels of the images of a batch.
        min_side: Least shorter side of a JPEG decoded at a reduced size, see `tlx.data.reading.images.read_image`.
        size: Height and width of the images of a batch without augmentation; None: with augmentation.
        storing: How they are stored in the cache; None: they are kept in memory.
    """
    if split.in_memory:
        return None
    files = [sample.source for sample in split.samples if isinstance(sample.source, Path)]
    contents = {path: found.key for path in files if (found := facts.get(path)) and found.key}
    if size is not None:
        sizes = [channels * prod(size)] * len(files)
        stored = None
        if storing is not None and len(contents) == len({*files}):
            how = {"form": "input", "channels": channels, "size": size, **storing.transformed}
            about = {"images": f"{size[0]} x {size[1]} px, {_colours(channels)}"}
            named = [(path, contents[path]) for path in files]
            stored = Stored(storing.shelf, _entry(files, how, torch=True), about, storing.keys(), named)
        return KeptImages(sizes, transformed=True, stored=stored)
    once = list(dict.fromkeys(files))
    by = [_reduction(path, facts[path], min_side) if path in contents else 0 for path in once]
    sizes = [decoded_bytes(path, facts[path], channels, min_side) if path in contents else 0 for path in once]
    if not any(sizes):
        return None
    numbers = {path: number for number, path in enumerate(once)}
    stored = None
    if storing is not None:
        how = {"form": "decoded", "channels": _decoded_channels(channels), **storing.decoded}
        about = {"images": f"decoded, {_colours(_decoded_channels(channels))}"}
        named = [(path, contents.get(path, "")) for path in once]
        keys = [_hash(f"{content} / {part}", 16).digest() for (_, content), part in zip(named, by, strict=True)]
        stored = Stored(storing.shelf, _entry(files, how), about, keys, named)
    return KeptImages(sizes, transformed=False, places=[numbers[path] for path in files], stored=stored)


def decoded_bytes(path: Path | int, facts: Facts, channels: int, min_side: int | None) -> int:
    """Return the bytes that `read_pixels` returns for a file; its extension decides whether it is a JPEG."""
    by = _reduction(path, facts, min_side)
    return (facts.width // by) * (facts.height // by) * _decoded_channels(channels)


def _reduction(path: Path | int, facts: Facts, min_side: int | None) -> int:
    is_jpeg = isinstance(path, Path) and path.suffix.lower() in _JPEG
    return reduction(facts.width, facts.height, min_side if is_jpeg else None)


def _decoded_channels(channels: int) -> int:
    return channels if channels in (1, 2, 4) else 3


def _colours(channels: int) -> str:
    return {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")


def _entry(files: Sequence[Path], how: Mapping[str, Any], torch: bool = False) -> str:
    """Return the key of the entry of some files: a hash of their common folder and of all that decides their pixels.

    Args:
        files: The files; each set has an entry of its own, so that one that is no longer used makes room.
        how: Settings.
        torch: Whether the images are resized, too.
    """
    packages = ["pillow", "numpy", "pydicom", *(["torch", "torchvision"] if torch else [])]
    values = {
        **how,
        "stored": _VERSION,
        "folder": os.path.commonpath([os.path.abspath(path.parent) for path in files]),
        "versions": {name: _version(name) for name in packages},
        "libjpeg": features.version("jpg"),
        "machine": platform.machine(),
    }
    return _hash(json.dumps(values, sort_keys=True, default=str), 16).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _hash(text: str, size: int) -> blake2b:
    return blake2b(os.fsencode(text), digest_size=size)


def _of_memory(part: float) -> int:
    """Return a part of the available memory, in bytes, divided among the jobs of a sweep."""
    return int(part * memory_available()) // jobs_at_once()
