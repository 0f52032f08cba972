"""Compute the outputs of frozen layer groups for images."""

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

COMMIT_EVERY = 60.0  # seconds between commits: a kill loses at most the rows since the last one


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
    """Run images through the prefix and write the outputs of the boundaries.

    If it is interrupted or fails, the rows computed so far are kept.

    Args:
        task: The network, its frozen groups in eval mode.
        batches: Batches of images.
        keys: Content key of each image of the split that the batches come from.
        wanted: Boundary, bottom to top -> its entry, the label of its segments, and the missing content keys.
        context: Makes the context in which the network runs: autocast.
        between: Called between two batches.
        dtype: The type that floats are rounded to; None: no rounding.
        pooled: The form of the stored outputs, see `Backbone.run`.

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
