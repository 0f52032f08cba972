"""Rows are found by content, over several files, without those that are damaged."""

from __future__ import annotations

import logging

import torch

from tlx.features.rows import lookup
from tlx.features.segments import SegmentWriter
from tlx.features.store import Store

KEYS = [bytes([i]) * 16 for i in range(8)]


def put(entry, numbers, label="eval"):
    writer = SegmentWriter(entry.folder, label)
    writer.append(torch.tensor([[float(n), -float(n)] for n in numbers]), [KEYS[n] for n in numbers])
    writer.commit()
    return writer.path


def test_rows_are_put_together_from_several_files(tmp_path):
    """Guards against rows of another image where several processes have computed their shares."""
    entry = Store(tmp_path).entry("k")
    put(entry, [0, 2, 4])
    put(entry, [1, 3, 4, 7])
    wanted = [KEYS[i] for i in (4, 3, 0, 3, 7)]
    rows, missing = lookup(entry, "eval", wanted)
    assert missing == []
    assert rows is not None
    assert len(rows) == 5
    assert rows.take(torch.tensor([0, 1, 2, 3, 4])).tolist() == [[4, -4], [3, -3], [0, 0], [3, -3], [7, -7]]
    assert rows.take(torch.tensor([3])).tolist() == [[3, -3]]
    assert rows.take(torch.tensor([4, 4])).tolist() == [[7, -7], [7, -7]]


def test_missing_contents_are_named_once(tmp_path):
    """Guards against computing copies of an image again, or leaving one out."""
    entry = Store(tmp_path).entry("k")
    put(entry, [0])
    rows, missing = lookup(entry, "eval", [KEYS[i] for i in (5, 0, 6, 5, 6)])
    assert rows is None
    assert missing == [0, 2]


def test_other_labels_do_not_count(tmp_path):
    """Guards against one augmented view in the place of another."""
    entry = Store(tmp_path).entry("k")
    put(entry, [0], label="view0")
    assert lookup(entry, "view1", KEYS[:1]) == (None, [0])


def test_a_damaged_file_is_removed_and_its_rows_are_missing(tmp_path, caplog, monkeypatch):
    """Guards against training on it, and against finding it damaged again for ever."""
    monkeypatch.setattr(logging.getLogger("tlx"), "propagate", True)
    entry = Store(tmp_path).entry("k")
    good, bad = put(entry, [0, 1]), put(entry, [1, 2])
    content = bytearray(bad.read_bytes())
    content[4100] ^= 4
    bad.write_bytes(content)
    rows, missing = lookup(entry, "eval", KEYS[:3])
    assert rows is None
    assert missing == [2]
    assert not bad.exists()
    assert good.exists()
    assert "removed and computed again" in caplog.text
