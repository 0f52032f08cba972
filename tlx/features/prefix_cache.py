"""The frozen-prefix cache: what frozen layer groups give for the images of a run, computed once for all who ask."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from tlx.base.gradients import no_gradients
from tlx.base.interruption import Interruption
from tlx.base.ranks import rank_and_world
from tlx.data.datamodule import ImageDataModule
from tlx.features.extraction import compute
from tlx.features.keys import label, prefix_key
from tlx.features.rows import Rows, lookup
from tlx.features.segments import KEY_BYTES, Shape
from tlx.features.store import Entry, Store, gigabytes
from tlx.tasks.base import Task

log = logging.getLogger("tlx")


@dataclass
class Numerics:
    """How a network computes what is kept.

    Args:
        precision: Lightning's name for it.
        context: In which it computes.
        dtype: What is kept; None: what comes out.
    """

    precision: str
    context: Callable[[], AbstractContextManager[object]]
    dtype: torch.dtype | None = None


@dataclass
class Boundary:
    """The upper end of a frozen prefix, and where its rows lie.

    Args:
        name: The last group of the prefix.
        shape: What it gives for an image.
        entry: Where that is kept.
        pooled: Whether its mean is kept in the place of a map.
    """

    name: str
    shape: Shape
    entry: Entry
    pooled: bool = False


@dataclass
class Request:
    """Rows that are wanted.

    Args:
        split: A name of `ImageDataModule.splits`.
        view: Number of an augmented view; None: as for evaluation.
        boundary: Whose output.
        also: Further boundaries below it, which a later stage will ask for: they come with the same pass.
    """

    split: str
    view: int | None
    boundary: Boundary
    also: Sequence[Boundary] = field(default_factory=tuple)


class PrefixCache:
    """Gives rows for the images of a run, and computes those that nobody has computed yet.

    Args:
        node: The `cache` node of a configuration.
        data: The images.
        owner: Whose they are, in words: the run directory.
        interruption: Asks to stop between two batches.
    """

    def __init__(
        self, node: Mapping[str, Any], data: ImageDataModule, owner: str, interruption: Interruption | None = None
    ) -> None:
        self.store = Store(node["dir"], float(node["max_gb"]))
        self.bf16 = node["precision"] == "bf16"
        self.data, self.owner = data, owner
        self.interruption = interruption
        self.failed = False  # whether it could not be written; a run then leaves it alone
        self.used: set[str] = set()  # entries of this run, which do not make room for one another
        self._found: dict[tuple[str, str, str], Rows] = {}  # checked already: entry, split, label

    def numerics(self, task: Task, precision: str, context: Callable[[], AbstractContextManager[object]]) -> Numerics:
        """Return how prefixes are computed for a training of that precision, which has `context` around each step."""
        if not self.bf16:
            return Numerics(precision, context)
        device = task.mean.device.type
        return Numerics("bf16", lambda: torch.autocast(device, torch.bfloat16), torch.bfloat16)

    def boundary(self, task: Task, prefix: Sequence[str], images: int, how: Numerics) -> Boundary | None:
        """Return the highest boundary of a frozen prefix whose rows there is room for.

        Args:
            task: The network.
            prefix: The frozen groups, bottom to top.
            images: How many rows there will be.
            how: How they are computed.
        """
        for name, shape in reversed(self._shapes(task, prefix, how).items()):
            entry = self._entry(task, prefix[: prefix.index(name) + 1], how)
            needed = images * (shape.bytes + KEY_BYTES)
            if not _any(needed > self.store.room(), task):
                self.store.make_room(max(0, needed - entry.bytes), self.used | {entry.key})
                self.used.add(entry.key)
                return Boundary(name, shape, entry)
            log.info(
                "cache: the output of %s takes %s for %s images, %s may be used (cache.max_gb, disk)",
                name, gigabytes(needed), f"{images:,}", gigabytes(max(0.0, self.store.room())),
            )  # fmt: skip
        return None

    def pooled(self, task: Task, groups: Sequence[str], images: int, how: Numerics) -> list[Boundary] | None:
        """Return where the pooled outputs of layer groups are kept; None where there is no room for them.

        Args:
            task: The network, all of it frozen.
            groups: Whose, bottom to top.
            images: How many rows there will be of each.
            how: How they are computed.
        """
        below, shapes = task.backbone.group_names, self._shapes(task, groups, how, pooled=True)
        entries = {name: self._entry(task, below[: below.index(name) + 1], how, pooled=True) for name in groups}
        needed = sum(images * (shapes[name].bytes + KEY_BYTES) for name in groups)
        if _any(needed > self.store.room(), task):
            return None
        self.used |= {entry.key for entry in entries.values()}
        self.store.make_room(max(0, needed - sum(entry.bytes for entry in entries.values())), self.used)
        return [Boundary(name, shapes[name], entries[name], pooled=True) for name in groups]

    def rows(self, task: Task, request: Request, how: Numerics) -> Rows | None:
        """Return the rows that are wanted, after computing those that are missing; None where they cannot be written.

        Every process of several calls it; each computes its share.
        """
        keys = self.data.content_keys(request.split)
        drawn = label(self.data.drawing(request.split, request.view))
        known = request.boundary.entry.key, request.split, drawn
        if known not in self._found:
            rows = self._complete(task, request, keys, drawn, how)
            if rows is None:
                return None
            self._found[known] = rows
        return self._found[known]

    # Inside

    def _complete(self, task: Task, request: Request, keys: Sequence[bytes], drawn: str, how: Numerics) -> Rows | None:
        rows, missing = lookup(request.boundary.entry, drawn, keys)
        if not _any(bool(missing), task):
            self._note(task, request.boundary, how)
            return rows
        boundaries = sorted([*request.also, request.boundary], key=lambda b: task.backbone.group_names.index(b.name))
        rank, world = rank_and_world()
        with ExitStack() as held:
            if rank == 0:
                for one in sorted(boundaries, key=lambda b: b.entry.key):  # in one order: nobody waits for another
                    held.enter_context(one.entry.alone())
            _meet()
            for share in ((rank, world), (_local("RANK", rank), _local("WORLD_SIZE", world))):
                # The second time is for machines that do not see what the processes of another one have written.
                rows, missing = lookup(request.boundary.entry, drawn, keys)
                if not _any(bool(missing), task):
                    break
                if not self._compute(task, request, boundaries, missing[share[0] :: share[1]], keys, drawn, how):
                    break
                _meet()
            else:
                rows, _ = lookup(request.boundary.entry, drawn, keys)
            _meet()
        for one in boundaries:
            self._note(task, one, how)
        return None if _any(rows is None, task) else rows

    def _compute(
        self, task: Task, request: Request, boundaries: Sequence[Boundary], missing: Sequence[int],
        keys: Sequence[bytes], drawn: str, how: Numerics,
    ) -> bool:  # fmt: skip
        """Compute this process's share; return whether all processes could write theirs."""
        wanted: dict[str, tuple[Entry, str, set[bytes]]] = {}
        mine = [keys[i] for i in missing]
        for one in boundaries:
            there = set() if one is request.boundary else set(mine) - self._missing(one, drawn, mine)
            wanted[one.name] = one.entry, drawn, set(mine) - there
        start = time.monotonic()
        failed = False
        try:
            if missing:
                batches = self.data.images_of(request.split, missing, request.view)
                pooled = any(one.pooled for one in boundaries)
                compute(task, batches, keys, wanted, how.context, self._between, how.dtype, pooled)
        except OSError as error:
            log.warning("cache: cannot write %s: %s; the run goes on without it", self.store.folder, error)
            failed = True
        view = "" if request.view is None else f", view {request.view}"
        log.info(
            "cache: %s%s: %s images up to %s in %.1f s, %s", request.split, view, f"{len(missing):,}",
            " and ".join(one.name for one in boundaries), time.monotonic() - start,
            gigabytes(sum(one.shape.bytes * len(wanted[one.name][2]) for one in boundaries)),
        )  # fmt: skip
        self.failed = _any(failed, task)
        return not self.failed

    def _missing(self, boundary: Boundary, drawn: str, keys: Sequence[bytes]) -> set[bytes]:
        _, places = lookup(boundary.entry, drawn, keys)
        return {keys[i] for i in places}

    def _between(self) -> None:
        if self.interruption is not None and self.interruption.requested is not None:
            self.interruption.stop()

    def _shapes(self, task: Task, prefix: Sequence[str], how: Numerics, pooled: bool = False) -> dict[str, Shape]:
        size, device = self.data.preprocessing.size, task.mean.device
        image = torch.zeros(2, self.data.channels, size, size, dtype=torch.uint8, device=device)
        with no_gradients(), how.context():
            outputs = task.backbone.run(task.normalise(image), outputs=prefix, pooled=True if pooled else None)
        return {name: Shape.of(x if how.dtype is None else x.to(how.dtype)) for name, x in outputs.items()}

    def _entry(self, task: Task, groups: Sequence[str], how: Numerics, pooled: bool = False) -> Entry:
        # The last group's output is pooled in any case: its rows serve trained heads and classifiers alike.
        mean = pooled and groups[-1] != task.backbone.group_names[-1]
        kept = {"pooled": "mean"} if mean else {}
        layout = "channels_last" if task.layout == torch.channels_last else "contiguous"
        key = prefix_key(
            task.backbone, groups, self.data.preprocessing, self.data.channels,
            precision=how.precision, layout=layout, device=task.mean.device.type, **kept,
        )  # fmt: skip
        return self.store.entry(key)

    def _note(self, task: Task, boundary: Boundary, how: Numerics) -> None:
        if rank_and_world()[0] != 0:
            return
        architecture = task.backbone.architecture
        about = {
            "backbone": architecture.get("name", architecture.get("_target_", "?")), "boundary": boundary.name,
            "size": self.data.preprocessing.size, "precision": how.precision, "device": task.mean.device.type,
        }  # fmt: skip
        try:
            boundary.entry.note(about, self.owner, str(self.data.dataset.get("name", "?")))
        except OSError:  # a full disk: nothing depends on it
            return


def _local(what: str, default: int) -> int:
    """Rank of this process on its machine, or how many there are: torchrun and Lightning say so."""
    return int(os.environ.get(f"LOCAL_{what}", default))


def _meet() -> None:
    if rank_and_world()[1] > 1:
        dist.barrier()


def _any(here: bool, task: Task) -> bool:
    """Return whether something is so in any process."""
    if rank_and_world()[1] == 1:
        return here
    told = torch.tensor(int(here), device=task.mean.device)
    dist.all_reduce(told, op=dist.ReduceOp.MAX)
    return bool(told)
