"""Batches on a GPU, each copied while the step before it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from tlx.base.compat.torch import map_tensors, tensors_in
from tlx.data.batches.dataset import Batch

T = TypeVar("T")
Started = TypeVar("Started")


def copied_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on a GPU; they should be pinned, or copying waits for the device.

    Copies have a stream of their own, so they run beside the computation, and whoever uses a batch waits on the device
    for its copy alone, not on the host.

    Args:
        batches: In host memory.
        device: The GPU.
    """
    stream = torch.cuda.Stream(device)

    def start(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            moved: Batch = map_tensors(lambda value: value.to(device, non_blocking=True), batch)
            event = torch.cuda.Event()
            event.record(stream)
        return moved, event

    def finish(started: tuple[Batch, torch.cuda.Event]) -> Batch:
        moved, event = started
        using = torch.cuda.current_stream(device)
        using.wait_event(event)
        for value in tensors_in(moved):
            value.record_stream(using)  # or the next copy could take its memory too early
        return moved

    yield from one_ahead(batches, start, finish)


def one_ahead(items: Iterable[T], start: Callable[[T], Started], finish: Callable[[Started], T]) -> Iterator[T]:
    """Yield what `finish` makes of each item after `start`; each item is started before the previous one is yielded."""
    waiting: list[Started] = []
    for item in items:
        waiting.append(start(item))
        if len(waiting) > 1:
            yield finish(waiting.pop(0))
    yield from map(finish, waiting)
