"""A DataLoader that is told its epoch in time, and takes whole batches from its dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from tlx.data.dataset import Batch
from tlx.data.sampler import EpochSampler
from tlx.errors import TlxError


class LateLoader(DataLoader[Batch]):
    """A DataLoader that asks its sampler for the order when the first batch is drawn, not before.

    Lightning makes the iterator of a resumed run before it tells the sampler the epoch. torch's loader with workers
    takes the first indices at that moment: the resumed run would begin with the order of another epoch.

    Its state is how many batches of the epoch were drawn. Lightning keeps it in checkpoints and hands it back where a
    run goes on in the middle of an epoch: the iteration of that epoch then begins after them.
    """

    _drawn = 0
    _state: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        sampler, state = self.sampler, self._state
        self._drawn, self._state = 0, None
        if isinstance(sampler, EpochSampler) and state is not None and state["epoch"] == sampler.epoch:
            self._drawn = state["batches"]
            sampler.skipped = self._drawn * (self.batch_size or 1)
        try:
            for batch in super().__iter__():
                self._drawn += 1
                yield batch
        except TlxError as error:  # of a worker: torch puts its whole traceback into the message
            raise TlxError(str(error).rpartition("TlxError: ")[2].strip()) from None

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of which epoch were drawn."""
        return {"epoch": self.sampler.epoch if isinstance(self.sampler, EpochSampler) else 0, "batches": self._drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration, if it is one of the same epoch, after so many batches."""
        self._state = state


def as_it_is(batch: Any) -> Any:
    """Collate nothing: `SplitDataset` returns whole batches."""
    return batch
