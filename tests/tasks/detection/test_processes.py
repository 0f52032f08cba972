"""The metrics of boxes of several processes that talk to one another."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

from tests.tasks.detection.boxes import drawn
from tlx.tasks.detection.figures import SplitFigures


def one_of_two(rank: int, meeting: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    found, truth = drawn(9, 2)
    figures, whole = SplitFigures(2, 100), SplitFigures(2, 100)
    share = slice(0, 9) if rank == 0 else slice(0, 0)  # the second process holds only padding
    loss = torch.tensor(3.0 if rank == 0 else torch.nan)
    for split in ("val", "test"):
        figures.add(split, found[share], truth[share], loss)
        whole.add(split, found, truth, torch.tensor(3.0))
    with_both = figures.thresholds(), figures.take("val"), figures.take("test")
    figures.add("val", found[:4] if rank == 0 else found[4:], truth[:4] if rank == 0 else truth[4:])
    divided = figures.thresholds(), figures.take("val")
    whole.val.sync_on_compute = whole.test.sync_on_compute = False
    alone = whole.thresholds(), whole.take("val"), whole.take("test")
    assert torch.equal(with_both[0], alone[0])
    assert with_both[1:] == alone[1:], (with_both, alone)
    assert torch.allclose(divided[0], alone[0])
    assert all(torch.allclose(divided[1][name], alone[1][name]) for name in divided[1]), (divided, alone)
    assert "loss" in alone[1]


def test_two_processes_have_the_figures_of_one(tmp_path):
    """Guards against figures of one process, and a process with no image that ends the exchange or brings a NaN."""
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                one_of_two(rank, tmp_path / "meeting")
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
