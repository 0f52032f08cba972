"""Run the bottom of a network over images: what frozen layer groups give for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch

from tlx.base.gradients import no_gradients
from tlx.data.batches.dataset import Batch
from tlx.features.segments import SegmentWriter
from tlx.features.store import Entry
from tlx.tasks.module import Task

COMMIT_EVERY = 60.0  # seconds after which a kill no longer loses what was computed


@no_gradients()
def compute(
    task: Task,
    batches: Iterable[Batch],
    keys: Sequence[bytes],
    wanted: Mapping[str, tuple[Entry, str, set[bytes]]],
    context: Callable[[], AbstractContextManager[object]],
    between: Callable[[], None],
    dtype: torch.dtype | None = None,
    pooled: bool | None = None,
) -> None:
    """Run images through the prefix and write what the boundaries give.

    Whatever ends it, what was computed by then is kept.

    Args:
        task: The network, its frozen groups in eval mode.
        batches: Of images.
        keys: Content of each image of the split that the batches are from.
        wanted: Boundary, bottom to top -> its entry, the label of its segments, and the contents that are missing.
        context: In which the network computes: autocast.
        between: Called between two batches.
        dtype: What floats are rounded to; None: they are kept as they are.
        pooled: In which form the outputs are kept, see `Backbone.run`.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    device = task.mean.device
    writers = {name: SegmentWriter(entry.folder, label) for name, (entry, label, _) in wanted.items()}
    since = time.monotonic()
    try:
        for batch in batches:
            own = [keys[i] for i in batch["index"].tolist()]
            with context():
                image = task.normalise(batch["image"].to(device, non_blocking=True))
                outputs = task.backbone.run(image, outputs=list(wanted), pooled=pooled)
            for (name, (_, _, missing)), rows in zip(wanted.items(), outputs.values(), strict=True):
                mine = [i for i, key in enumerate(own) if key in missing]
                if mine:
                    kept = rows if len(mine) == len(own) else rows[mine]
                    writers[name].append(kept if dtype is None else kept.to(dtype), [own[i] for i in mine])
            if time.monotonic() - since > COMMIT_EVERY:
                for name, (entry, label, _) in wanted.items():
                    writers[name].commit()
                    writers[name] = SegmentWriter(entry.folder, label)
                since = time.monotonic()
            between()
    finally:
        try:
            for writer in writers.values():
                writer.commit()
        finally:
            for writer in writers.values():
                writer.discard()
