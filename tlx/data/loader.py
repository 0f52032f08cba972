"""A DataLoader that is told its epoch in time, and takes whole batches from its dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from tlx.data.dataset import Batch


class LateLoader(DataLoader[Batch]):
    """A DataLoader that asks its sampler for the order when the first batch is drawn, not before.

    Lightning makes the iterator of a resumed run before it tells the sampler the epoch. torch's loader with workers
    takes the first indices at that moment: the resumed run would begin with the order of another epoch.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        yield from super().__iter__()


def as_it_is(batch: Any) -> Any:
    """Collate nothing: `SplitDataset` returns whole batches."""
    return batch
