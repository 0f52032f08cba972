"""Make all processes of a run stop after the same step, one step after any of them receives a request to stop.

After each step an asynchronous gloo all-reduce combines a flag over all processes; neither the CPU nor a GPU waits for
it. The result is read after the next step and is the same in every process. All processes therefore stop together, even
in the middle of an epoch, and save one consistent state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from tlx.base.compat.torch import default_store
from tlx.base.interruption import Interruption
from tlx.base.ranks import rank_and_world
from tlx.base.waiting import waiting_for

_REPORT_WAIT = 15.0  # seconds within which every process that waits in the same step has reported it
_TIMEOUT = timedelta(days=7)  # the others may wait for hours while one computes; a dead process is noticed anyway


class Agreement:
    """The decision to stop, the same in all processes of a run. Every process must call each method at the same point.

    Args:
        interruption: The request to stop that this process may receive. If its signals are not watched, the processes
            do not communicate.
    """

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption
        self._stopping = False
        self._group: dist.ProcessGroup | None = None
        self._sent: tuple[Tensor, dist.Work] | None = None
        self._step = ExitStack()

    def begin(self) -> None:
        """Connect the processes if there are several; call it when training starts."""
        if self._group is None and self.interruption.watched and rank_and_world()[1] > 1:
            group = dist.new_group(backend="gloo", timeout=_TIMEOUT)
            assert isinstance(group, dist.ProcessGroup)
            self._group = group

    def before_step(self, step: int) -> None:
        """Start watching a step; if it takes long, log which processes have not reached it."""
        if self._group is not None:
            self._step.enter_context(waiting_for(lambda: late(step)))

    def after_step(self) -> bool:
        """Return whether any process was asked to stop before the end of the previous step."""
        if self._group is None:
            return self._asked()
        self._receive()
        self._step.close()
        if not self._stopping:
            self._send()
        return self._stopping

    def now(self) -> bool:
        """Return whether any process has been asked to stop by now; the processes wait for one another."""
        if self._group is None:
            return self._asked()
        self._receive()
        if not self._stopping:
            self._send()
            self._receive()
        return self._stopping

    def gathered(self, own: Mapping[str, float]) -> dict[str, float]:
        """Return the numbers of all processes, which use the same names; those of process 1 are called `NAME@1`."""
        if self._group is None:
            return dict(own)
        mine = torch.tensor(list(own.values()), dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(rank_and_world()[1])]
        dist.all_gather(every, mine, group=self._group)
        gathered = dict(own)
        for rank, values in enumerate(every):
            gathered |= {_name(key, rank): value for key, value in zip(own, values.tolist(), strict=True)}
        return gathered

    def _asked(self) -> bool:
        return self.interruption.requested is not None

    def _send(self) -> None:
        flag = torch.tensor([int(self._asked())], dtype=torch.int32)
        work = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None
        self._sent = flag, work

    def _receive(self) -> None:
        if self._sent is not None:
            flag, work = self._sent
            work.wait()
            self._stopping, self._sent = bool(flag.item()), None


def late(step: int) -> str:
    """Return, for the log, which processes have not reached a step in which this one waits.

    Each waiting process publishes its own step in the store, then reads those of the others.
    """
    store = default_store()
    rank, world = rank_and_world()
    store.set(f"tlx/waits/{rank}", str(step))
    time.sleep(_REPORT_WAIT)
    others = [other for other in range(world) if other != rank]
    missing = [
        other
        for other in others
        if not store.check([f"tlx/waits/{other}"]) or int(store.get(f"tlx/waits/{other}")) < step
    ]
    if not missing:
        return f"step {step}, which all processes have reached but this one has not finished"
    return f"step {step}, which rank {', rank '.join(map(str, missing))} has not reached"


def share(gathered: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers that belong to this process from the result of `gathered`.

    If the run resumes with another number of processes, process 0 gets the sums and the others start at 0.
    """
    rank, world = rank_and_world()
    names = [key for key in gathered if "@" not in key]
    if len(gathered) == len(names) * world:
        return {key: gathered[_name(key, rank)] for key in names}
    sums = {key: sum(value for name, value in gathered.items() if name.split("@")[0] == key) for key in names}
    return sums if rank == 0 else dict.fromkeys(names, 0.0)


def _name(key: str, rank: int) -> str:
    return f"{key}@{rank}" if rank else key
