"""A DataLoader that knows its epoch before it draws, and takes whole batches from its dataset."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from tlx.base import owner
from tlx.base.compat.torch import has_readers, pin_memory, reader_of_next, stop_readers
from tlx.base.errors import TlxError
from tlx.base.sockets import ABSTRACT, socket_folder
from tlx.base.waiting import waiting_for
from tlx.data.batches.ahead import copied_ahead
from tlx.data.batches.batch_process import handed_over, readers_named
from tlx.data.batches.dataset import Batch, PairedDataset, SplitDataset
from tlx.data.batches.even import EvenBatches
from tlx.data.batches.reading_clock import ReadingClock
from tlx.data.batches.reading_processes import EpochTimes
from tlx.data.batches.shared_memory import too_small

log = logging.getLogger("tlx")


class EpochLoader(DataLoader[Batch]):
    """A DataLoader that asks its sampler for the order when the first batch is drawn, not before.

    Lightning makes the iterator of a resumed run before it sets the sampler's epoch. torch's loader with workers
    takes the first indices at that moment: the resumed run would begin with the order of another epoch.

    Batches of rows (`SplitDataset.rows`) are made in this process. For a GPU (`device`) batches are copied ahead,
    unless the rows are in its memory, and distorted there if their data set has `distort_later`.

    With the last batch of each whole epoch of images, `after_epoch` is given its times; it may change the number of
    reading processes by `read_with`.

    Its state, of `EvenBatches`, is the number of batches drawn in the epoch. Lightning stores it in checkpoints and
    restores it when a run resumes within an epoch; the iteration of that epoch then skips these batches.
    """

    device: torch.device | None = None
    say: Callable[[str], object] = log.info
    batch_bytes = 0  # of the images of the largest batch, including those of the target domain if there is one
    after_epoch: Callable[[EpochTimes], object] | None = None
    _drawn = 0
    _state: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        even, state = self._even, self._state
        self._drawn, self._state = 0, None
        if even is not None and state is not None and state["epoch"] == even.sampler.epoch:
            even.skipped = self._drawn = state["batches"]
        try:
            batches = self._batches()
            if self.device is not None and not self._on_device:
                batches = copied_ahead(batches, self.device)
            with readers_named():
                for batch in batches:
                    self._drawn += 1
                    yield self._whole(batch)
        except TlxError as error:  # of a worker: torch puts its whole traceback into the message
            raise TlxError(str(error).rpartition("TlxError: ")[2].strip()) from None

    def _batches(self) -> Iterator[Batch]:
        dataset = self.dataset
        if not isinstance(dataset, SplitDataset | PairedDataset):
            yield from self._waited_for(super().__iter__())
            return
        if dataset.rows is None:
            self._prepare_processes()
            dataset.open_kept()
            yield from self._timed(self._waited_for(super().__iter__()), dataset.clock)
            return
        stop_readers(self)  # those of an earlier stage, which read images
        assert self.batch_sampler is not None
        batches: Iterator[Batch]
        if isinstance(dataset, PairedDataset):
            batches = map(dataset.__getitems__, self.batch_sampler)
        else:
            sizes: list[int] = []
            places: list[int] = []
            for keys in self.batch_sampler:
                sizes.append(len(keys))
                places += [place for _, place in keys]
            batches = dataset.of_rows(dataset.rows, torch.tensor(places, dtype=torch.int64), sizes)
        for batch in batches:
            yield pin_memory(batch) if self.pin_memory and not self._on_device else batch

    def _waited_for(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Log which reading process is late with its batch."""
        if not self.num_workers:
            yield from batches
            return
        while True:
            with waiting_for(lambda: f"a batch of process {reader_of_next(batches)}, which reads images, has not come"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _timed(self, batches: Iterator[Batch], clock: ReadingClock) -> Iterator[Batch]:
        """Measure a whole epoch from its first batch, for which processes are started, to its last.

        Nobody asks for a batch after the last one, so the times of the steps before that one are all that is known.
        """
        last = len(self) - 1 if self._drawn == 0 and self.after_epoch is not None else 0
        before = clock.read().seconds
        start = asked = waited = 0.0
        images = 0
        for count, batch in enumerate(batches):
            now = time.perf_counter()
            if count:
                waited += now - asked
            else:
                start = now
            if count == last > 0 and self.after_epoch is not None:
                reading = (clock.read().seconds - before) * last / len(self)
                self.after_epoch(EpochTimes(images, last, now - start, waited, reading))
            images += len(batch["index"])
            yield batch
            asked = time.perf_counter()

    def read_with(self, workers: int) -> None:
        """Read with another number of processes from the next epoch on."""
        stop_readers(self)
        self.num_workers = workers

    def _prepare_processes(self) -> None:
        """Prepare the transfer of batches from processes that are about to start; without room read in this process."""
        if not self.num_workers or has_readers(self):
            return
        why = too_small(self.batch_bytes, self.num_workers)
        if why:
            self.num_workers = 0
            self.say(f"reading processes: 0 ({why})")
            return
        if not ABSTRACT:
            socket_folder()
        owner.handle()

    def _whole(self, batch: Batch) -> Batch:
        """Distort a batch that was left undistorted."""
        return self.dataset.finish(batch) if isinstance(self.dataset, SplitDataset | PairedDataset) else batch

    @property
    def _on_device(self) -> bool:
        """Whether batches are made in the memory of a GPU."""
        return isinstance(self.dataset, SplitDataset) and self.dataset.device.type != "cpu"

    @property
    def _even(self) -> EvenBatches | None:
        return self.batch_sampler if isinstance(self.batch_sampler, EvenBatches) else None

    def weight(self, number: int) -> float:
        """Return the weight of this process's mean loss of a training batch, see `EvenBatches.weight`."""
        return 1.0 if self._even is None else self._even.weight(number)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches drawn."""
        return {"epoch": 0 if self._even is None else self._even.sampler.epoch, "batches": self._drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip the drawn batches in the next iteration, if it is of the same epoch."""
        self._state = state


def uncollated(batch: Any) -> Any:
    """Collate nothing: `SplitDataset` returns whole batches."""
    return handed_over(batch)
