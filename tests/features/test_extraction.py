"""What is computed when something comes in between."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from tlx.backbones import small_cnn
from tlx.base.errors import Interrupted
from tlx.features.extraction import Wanted, compute
from tlx.features.rows import lookup
from tlx.features.store import Store
from tlx.tasks import Classification


def test_a_stop_between_two_batches_is_obeyed_and_keeps_what_was_computed(tmp_path):
    """Guards against a SIGTERM that waits for hours of images, and against hours that are lost with it."""
    keys = [bytes([i]) * 16 for i in range(8)]
    image = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    batches = [{"image": image[i : i + 2], "index": torch.arange(i, i + 2)} for i in range(0, 8, 2)]
    entry, calls = Store(tmp_path).entry("k"), []

    def between() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted("the test wants it so")

    task = Classification(small_cnn(width=4), ["a", "b"]).eval()
    with pytest.raises(Interrupted):
        compute(task, batches, {"stem": Wanted(entry, "eval", keys, set(keys))}, nullcontext, between)
    assert lookup(entry, "eval", keys)[1] == [4, 5, 6, 7]
    assert lookup(entry, "eval", keys[:4])[1] == []
    assert not list(entry.folder.glob("*.tmp"))
