"""Curves over epochs in TensorBoard, whose only axis is the step: their points are logged at the number of the epoch.

When a run resumes, TensorBoard drops the points of later steps, but the number of an epoch is smaller than that of its
steps. So the points of epochs that are trained again are removed from the event files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tlx.base.files import writing
from tlx.callbacks.curves import OVER_EPOCHS


def forget_epochs(folder: Path, epoch: int) -> None:
    """Remove the points over epochs from an epoch on (from 0) from the event files of a folder."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        records = _records(path)
        kept = [record for record in records if not _is_later(record, epoch)]
        if len(kept) < len(records):
            _write(path, kept)


def _records(path: Path) -> list[bytes]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    return list(RawEventFileLoader(str(path)).Load())  # ends before a record that a kill cut off


def _is_later(record: bytes, epoch: int) -> bool:
    from tensorboard.compat.proto.event_pb2 import Event

    event: Any = Event.FromString(record)
    return event.step >= epoch and any(value.tag.startswith(OVER_EPOCHS) for value in event.summary.value)


def _write(path: Path, records: list[bytes]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with writing(path) as file:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)
