"""The rows of a split: found once by content, then read by index."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tlx.features.segments import Damaged, Segment, Shape, is_ours, segments
from tlx.features.store import Entry

log = logging.getLogger("tlx")


class CachedRows:
    """One row for each image of a split, from the segments of an entry.

    Args:
        found: The segments.
        location: For each image the number of its segment and its position in it, int64 (N, 2).
    """

    def __init__(self, found: Sequence[Segment], location: Tensor) -> None:
        self.segments = list(found)
        self.location = location

    def __len__(self) -> int:
        return len(self.location)

    @property
    def device(self) -> torch.device:
        """The CPU: the rows are on the disk."""
        return self.location.device

    @property
    def shape(self) -> Shape:
        """The shape, type and memory format of a row."""
        return self.segments[0].shape

    @property
    def bytes(self) -> int:
        """Bytes of all rows."""
        return len(self) * self.shape.bytes

    def take(self, index: Tensor) -> Tensor:
        """Return copies of rows (len(index), …) in the memory format in which they were written.

        Args:
            index: Indices of images in the split, int64 (B,).
        """
        return self.shape.from_memory(self.flat(index))

    def flat(self, index: Tensor) -> Tensor:
        """Return copies of rows as they are stored: (len(index), numbers per row)."""
        location = self.location[index]
        if len(self.segments) == 1:
            return self.segments[0].take(location[:, 1])
        flat: Tensor | None = None
        for number, segment in enumerate(self.segments):
            mine = (location[:, 0] == number).nonzero()[:, 0]
            if not len(mine):
                continue
            taken = segment.take(location[mine, 1])
            if flat is None:
                flat = taken.new_empty(len(index), taken.shape[1])
            flat[mine] = taken
        assert flat is not None
        return flat


def lookup(entry: Entry, label: str, keys: Sequence[bytes]) -> tuple[CachedRows | None, list[int]]:
    """Find the rows of images by their content.

    A damaged segment is removed, and its rows count as missing.

    Args:
        entry: Where to look.
        label: Label of the segments: how the images were drawn.
        keys: Content key of each image.

    Returns:
        The rows, or None if any are missing; and the indices in `keys` of the missing ones, each content once.
    """
    wanted = set(keys)
    found: list[Segment] = []
    locations: dict[bytes, tuple[int, int]] = {}
    for segment in _intact(entry, label):
        new = {key: (len(found), row) for row, key in enumerate(segment.keys) if key in wanted and key not in locations}
        if new and (not found or segment.shape == found[0].shape):
            locations |= new
            found.append(segment)
    if len(locations) == len(wanted):
        return CachedRows(found, torch.tensor([locations[key] for key in keys], dtype=torch.int64).view(-1, 2)), []
    missing = {key: i for i, key in reversed(list(enumerate(keys))) if key not in locations}
    return None, sorted(missing.values())


def _intact(entry: Entry, label: str) -> Iterable[Segment]:
    for path in segments(entry.folder, label):
        try:
            yield Segment(path)
        except Damaged as error:
            if is_ours(path):
                log.warning("cache: %s; it is removed and computed again", error)
                path.unlink(missing_ok=True)
        except OSError:  # another process has just removed it
            continue
