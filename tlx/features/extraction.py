"""Compute the outputs of frozen layer groups for images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.data.batches.dataset import Batch
from tlx.features.segments import SegmentWriter
from tlx.features.store import Entry
from tlx.tasks.module import Task

COMMIT_EVERY = 60.0  # seconds between commits: a kill loses at most the rows since the last one


@dataclass(frozen=True)
class Wanted:
    """Rows that are missing in an entry.

    Args:
        entry: The entry.
        label: The label of its segments.
        keys: The key of the row of each image of the split that the batches come from.
        missing: The keys of the missing rows.
        of_labels: Whether the rows are labels, as they moved with their images, and no outputs of a layer group.
    """

    entry: Entry
    label: str
    keys: Sequence[bytes]
    missing: Set[bytes]
    of_labels: bool = False

    def places(self, index: Sequence[int]) -> list[int]:
        """Return the positions in a batch of images `index` whose rows are missing."""
        return [place for place, image in enumerate(index) if self.keys[image] in self.missing]


@no_gradients()
def compute(
    task: Task,
    batches: Iterable[Batch],
    wanted: Mapping[str, Wanted],
    context: Callable[[], AbstractContextManager[object]],
    between: Callable[[], None],
    dtype: torch.dtype | None = None,
    pooled: bool | None = None,
) -> None:
    """Run images through the prefix and write the missing outputs of layer groups, and the missing labels.

    If it is interrupted or fails, the rows computed so far are kept.

    Args:
        task: The network, its frozen groups in eval mode.
        batches: Batches of images.
        wanted: The missing rows by layer group, bottom to top, and those of labels.
        context: Makes the context in which the network runs: autocast.
        between: Called between two batches.
        dtype: The type that outputs are rounded to; None: no rounding.
        pooled: The form of the stored outputs, see `Backbone.run`.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    writers = {name: SegmentWriter(one.entry.folder, one.label) for name, one in wanted.items()}
    since = time.monotonic()
    try:
        for batch in batches:
            index = batch["index"].tolist()
            places = {name: one.places(index) for name, one in wanted.items()}
            groups = [name for name, one in wanted.items() if places[name] and not one.of_labels]
            found = _outputs(task, batch, groups, context, dtype, pooled)
            for name, mine in places.items():
                if mine:
                    rows = found[name] if name in found else batch["target"]
                    keys = [wanted[name].keys[index[place]] for place in mine]
                    writers[name].append(rows if len(mine) == len(index) else rows[mine], keys)
            if time.monotonic() - since > COMMIT_EVERY:
                for name, one in wanted.items():
                    writers[name].commit()
                    writers[name] = SegmentWriter(one.entry.folder, one.label)
                since = time.monotonic()
            between()
    finally:
        try:
            for writer in writers.values():
                writer.commit()
        finally:
            for writer in writers.values():
                writer.discard()


def _outputs(
    task: Task,
    batch: Batch,
    groups: Sequence[str],
    context: Callable[[], AbstractContextManager[object]],
    dtype: torch.dtype | None,
    pooled: bool | None,
) -> dict[str, Tensor]:
    """Return the outputs of layer groups for a batch of images, from one pass; {} without a pass for no groups."""
    if not groups:
        return {}
    with context():
        image = task.normalise(batch["image"].to(task.mean.device, non_blocking=True))
        outputs = task.backbone.run(image, outputs=groups, pooled=pooled)
    return outputs if dtype is None else {name: rows.to(dtype) for name, rows in outputs.items()}
