"""Processes of one run find the same step to stop after."""

from __future__ import annotations

import os
import signal
import traceback
from pathlib import Path

import torch.distributed as dist

from tlx.base.interruption import Interruption
from tlx.callbacks.agreement import Agreement, share

ASKED = 3  # the step in which one of them is asked to stop


def one_of_two(rank: int, meeting: Path, heard_at_once: bool) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    interruption = Interruption(patient=True)
    with interruption.watching(), interruption.deferred():
        agreement = Agreement(interruption)
        agreement.begin()
        assert not agreement.now()
        stopped = None
        for step in range(10):
            if rank == 1 and step == ASKED:
                os.kill(os.getpid(), signal.SIGTERM)
            if heard_at_once and step == ASKED:
                assert agreement.now()
            if agreement.after_step():
                stopped = step
                break
        assert stopped == (ASKED if heard_at_once else ASKED + 1), stopped
        assert (interruption.requested is None) == (rank == 0)
        told = agreement.gathered({"total": 0.1 + rank, "weight": 2.0})
        assert told == {"total": 0.1, "weight": 2.0, "total@1": 1.1, "weight@1": 2.0}
        assert share(told) == {"total": 0.1 + rank, "weight": 2.0}
        three = {**told, "total@2": 1.0, "weight@2": 1.0}
        assert share(three) == ({"total": 2.2, "weight": 5.0} if rank == 0 else {"total": 0.0, "weight": 0.0})
        os.kill(os.getpid(), signal.SIGTERM)  # another one is no reason to leave before all is saved
        assert agreement.now()


def test_what_one_process_is_asked_for_all_know_at_the_same_step(tmp_path: Path) -> None:
    """Guards against one process that leaves while another waits for it in the next step, and against sums of an epoch
    that change when the run goes on in its middle."""
    for heard_at_once in (False, True):
        children = []
        for rank in range(2):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    one_of_two(rank, tmp_path / str(heard_at_once), heard_at_once)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                os._exit(code)
            children.append(child)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]


def test_a_process_alone_stops_after_the_step() -> None:
    """Guards against a run of one process that takes another step before it saves."""
    interruption = Interruption()
    agreement = Agreement(interruption)
    agreement.begin()
    assert not agreement.after_step()
    interruption.requested = signal.SIGTERM
    assert agreement.after_step()
    assert agreement.now()
    assert share(agreement.gathered({"total": 1.5})) == {"total": 1.5}


def test_a_terminal_that_closes_is_obeyed_after_the_step_unless_it_is_ignored() -> None:
    """Guards against an epoch that is lost with a connection, against a second SIGHUP (shell and kernel both send one)
    that stops in the middle of a step, and against a run under nohup that ends with its terminal."""
    before = signal.getsignal(signal.SIGHUP)
    try:
        for ignored in (False, True):
            signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
            interruption = Interruption()
            with interruption.watching(), interruption.deferred():
                for _ in range(2):
                    if ignored or signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:  # which would end the tests
                        os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.requested == (None if ignored else signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)
