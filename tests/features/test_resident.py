"""Rows in memory: the very same batches and weights as rows that are read from the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tlx
from tests.stops import stop_in_step
from tlx import Run
from tlx.base.errors import Interrupted
from tlx.features import resident
from tlx.features.resident import Residents
from tlx.features.rows import lookup
from tlx.features.segments import SegmentWriter
from tlx.features.store import Store

SETTING = (
    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "dataset.augment=light",
    "dataset.batch_size=16", "dataset.labels_per_class=8", "dataset.sampling=balanced", "cache.views=2",
    "optimizer.lr=1e-2", "task.dropout=0.5", "logger=none",
    "strategy.stages=[{name: dense, train: head, epochs: 4, batch_norm: frozen},"
    "{name: conv, train: 'last:2', epochs: 2, batch_norm: frozen}]",
)  # fmt: skip
CPU = torch.device("cpu")


def train(directory: Path, *more: str) -> Run:
    return tlx.train(tlx.compose([f"run_dir={directory}", f"cache.dir={directory.parent / 'cache'}", *SETTING, *more]))


@pytest.mark.run
def test_weights_are_the_same_to_the_last_bit(tmp_path, monkeypatch):
    """Guards against rows of another image or view, another order of balanced classes, and a resumed epoch that begins
    at another batch."""
    taken = []
    take = resident.ResidentRows.take
    monkeypatch.setattr(resident.ResidentRows, "take", lambda rows, index: taken.append(1) or take(rows, index))
    with monkeypatch.context() as patch:
        patch.setattr(resident, "_room", lambda device: 0)
        mapped = train(tmp_path / "mapped")
    assert not taken
    with monkeypatch.context() as patch:
        stop_in_step(patch, 7)  # of the second epoch, which has the other view
        with pytest.raises(Interrupted):
            train(tmp_path / "resident")
    held = train(tmp_path / "resident")
    assert taken
    for name in ("best.ckpt", "last.ckpt"):
        one, other = (torch.load(run.checkpoints / name, weights_only=True)["state_dict"] for run in (held, mapped))
        assert all(torch.equal(value, other[key]) for key, value in one.items()), name
    assert (held.directory / "metrics.csv").read_text() == (mapped.directory / "metrics.csv").read_text()


@pytest.fixture
def stored(tmp_path):
    """Return rows of seven images in the memory format channels_last, from two segments."""
    entry = Store(tmp_path).entry("0" * 32)
    rows = torch.randn(7, 3, 2, 2, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    keys = [bytes([number]) * 16 for number in range(7)]
    for part in (slice(0, 3), slice(3, 7)):
        writer = SegmentWriter(entry.folder, "drawn")
        writer.append(rows[part], keys[part])
        writer.commit()
    order = [6, 0, 3, 2, 5, 5]
    found, missing = lookup(entry, "drawn", [keys[i] for i in order])
    assert found is not None
    assert not missing
    return found, rows[order]


def test_rows_in_memory_are_those_of_the_disk(stored):
    """Guards against rows in the order of the file, and against a memory format that changes the last bits of a
    convolution."""
    found, rows = stored
    (held, labels) = Residents(CPU).of({"stage1": found}, None)
    assert labels is None
    index = torch.tensor([5, 1, 1, 0])
    for source in (found, held["stage1"]):
        taken = source.take(index)
        assert torch.equal(taken, rows[index])
        assert taken.is_contiguous(memory_format=torch.channels_last)
    assert isinstance(held["stage1"], resident.ResidentRows)


def test_rows_that_do_not_fit_stay_on_the_disk(stored, monkeypatch):
    """Guards against a process that is killed for its memory, and against rows that are copied again in each epoch."""
    found, _ = stored
    monkeypatch.setattr(resident, "_room", lambda device: 2 * found.bytes - 1)
    residents = Residents(CPU)
    first, _ = residents.of({"stage1": found}, None)
    again, _ = residents.of({"stage1": found}, None)
    assert again["stage1"] is first["stage1"]
    other, _ = lookup(Store(found.segments[0].path.parents[2]).entry("0" * 32), "drawn", [bytes(16)])
    assert residents.of({"stage1": other}, None)[0]["stage1"] is not other  # one row fits beside them
    monkeypatch.setattr(resident, "_room", lambda device: found.bytes - 1)
    assert Residents(CPU).of({"stage1": found}, None)[0]["stage1"] is found
