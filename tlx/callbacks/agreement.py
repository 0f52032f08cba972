"""Processes that train together stop after the same step: what one of them was asked for, all know one step later.

After each step a flag is combined over all processes, by gloo, in the background: nothing waits for it or for a GPU.
It is read after the next step, where it says the same in every process. So they leave together, in the middle of an
epoch too, and what they have saved is one state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from tlx.base.interruption import Interruption
from tlx.base.ranks import rank_and_world
from tlx.base.waiting import waiting_for

_TELLING = 15.0  # seconds in which a process that waits in the same step has told so
_PATIENCE = timedelta(days=7)  # one process may compute for hours what the others wait for; a dead one is noticed


class Agreement:
    """Whether to stop, which all processes of a run answer alike; every one calls each method at the same moment.

    Args:
        interruption: What this process was asked for. Where its signals are not watched, nothing is agreed on.
    """

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption
        self._stopping = False
        self._group: dist.ProcessGroup | None = None
        self._sent: tuple[Tensor, dist.Work] | None = None
        self._step = ExitStack()

    def begin(self) -> None:
        """Connect the processes, once they train together."""
        if self._group is None and self.interruption.watched and rank_and_world()[1] > 1:
            group = dist.new_group(backend="gloo", timeout=_PATIENCE)
            assert isinstance(group, dist.ProcessGroup)
            self._group = group

    def before_step(self, step: int) -> None:
        """A step begins; should it take long, the log says which process has not come to it."""
        if self._group is not None:
            self._step.enter_context(waiting_for(lambda: late(step)))

    def after_step(self) -> bool:
        """Return whether one of them was asked to stop before the end of the step before this one."""
        if self._group is None:
            return self._asked()
        self._receive()
        self._step.close()
        if not self._stopping:
            self._send()
        return self._stopping

    def now(self) -> bool:
        """Return whether one of them was asked to stop by now; processes wait for one another."""
        if self._group is None:
            return self._asked()
        self._receive()
        if not self._stopping:
            self._send()
            self._receive()
        return self._stopping

    def gathered(self, own: Mapping[str, float]) -> dict[str, float]:
        """Return the numbers of all processes, which have the same names: those of process 1 as `NAME@1`."""
        if self._group is None:
            return dict(own)
        mine = torch.tensor(list(own.values()), dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(rank_and_world()[1])]
        dist.all_gather(every, mine, group=self._group)
        told = dict(own)
        for rank, values in enumerate(every):
            told |= {_name(key, rank): value for key, value in zip(own, values.tolist(), strict=True)}
        return told

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
    """Return which processes have not come to a step in which this one waits; each says so itself when it is asked."""
    store = dist.distributed_c10d._get_default_store()
    rank, world = rank_and_world()
    store.set(f"tlx/waits/{rank}", str(step))
    time.sleep(_TELLING)
    others = [other for other in range(world) if other != rank]
    missing = [
        other
        for other in others
        if not store.check([f"tlx/waits/{other}"]) or int(store.get(f"tlx/waits/{other}")) < step
    ]
    if not missing:
        return f"step {step}, to which all processes have come, is not done"
    return f"step {step}, to which rank {', rank '.join(map(str, missing))} has not come"


def share(gathered: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of this process among those that `gathered` gave.

    Where other processes go on than have stopped, the first one has the sums and the others begin at 0.
    """
    rank, world = rank_and_world()
    names = [key for key in gathered if "@" not in key]
    if len(gathered) == len(names) * world:
        return {key: gathered[_name(key, rank)] for key in names}
    sums = {key: sum(value for name, value in gathered.items() if name.split("@")[0] == key) for key in names}
    return sums if rank == 0 else dict.fromkeys(names, 0.0)


def _name(key: str, rank: int) -> str:
    return f"{key}@{rank}" if rank else key
