"""Rows of a stage in memory, of the host or of the device that trains: a batch is an index into one tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.base.machine import memory_available
from tlx.data.batches.dataset import RowSource
from tlx.features.rows import CachedRows

PART = 8  # of the free memory, a stage's rows take at most one part in so many; jobs in parallel leave each other room
_AT_ONCE = 1024  # rows


class ResidentRows:
    """The rows of a split in memory, in its order.

    Args:
        rows: The stored rows, which are copied.
        device: Where they are held.
    """

    @no_gradients()
    def __init__(self, rows: CachedRows, device: torch.device) -> None:
        self.shape = rows.shape
        places = torch.arange(len(rows))
        like = rows.flat(places[:1])
        self._flat = torch.empty(len(rows), like.shape[1], dtype=like.dtype, device=device)
        for part in places.split(_AT_ONCE):
            self._flat[part[0] : part[-1] + 1] = rows.flat(part)

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self._flat.device

    def take(self, index: Tensor) -> Tensor:
        """Return rows (len(index), …) on `device`, in the memory format in which they were written.

        Args:
            index: Indices of images in the split, int64 (B,), on `device`.
        """
        return self.shape.from_memory(self._flat.index_select(0, index))


class Residents:
    """The rows of one stage that fit in memory; the others stay on the disk, with the same result.

    Args:
        device: The device that trains. A GPU holds them itself; for other devices the host does.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device if device.type == "cuda" else torch.device("cpu")
        self._left = _room(self.device)
        self._held: dict[CachedRows, ResidentRows] = {}

    def of(
        self, rows: Mapping[str, CachedRows], labels: CachedRows | None
    ) -> tuple[Mapping[str, RowSource], RowSource | None]:
        """Return the rows of a split, in memory if there is room for all of them.

        Args:
            rows: Outputs by layer group.
            labels: Labels that belong to them; None: these do not move with their images.
        """
        new = [one for one in (*rows.values(), labels) if one is not None and one not in self._held]
        needed = sum(one.bytes for one in new)
        if needed > self._left:
            return rows, labels
        try:
            copied = {one: ResidentRows(one, self.device) for one in new}
        except (RuntimeError, MemoryError):  # no memory after all
            self._left = 0
            return rows, labels
        self._left -= needed
        self._held |= copied
        return {name: self._held[one] for name, one in rows.items()}, None if labels is None else self._held[labels]


def _room(device: torch.device) -> int:
    """Return the bytes that rows may take on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // PART
    return memory_available() // PART // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
