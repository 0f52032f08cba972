"""The frozen-prefix cache: outputs of frozen layer groups for the images of a run, computed once and shared."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist

from tlx.base.gradients import no_gradients
from tlx.base.interruption import Interruption
from tlx.base.printable import counted
from tlx.base.ranks import rank_and_world
from tlx.data.datamodule import ImageDataModule
from tlx.data.labelled import VAL_TILES
from tlx.features.boundary import Boundary, Numerics, Output, Request
from tlx.features.extraction import Wanted, compute
from tlx.features.keys import label, labels_key, prefix_key
from tlx.features.precision import autocast
from tlx.features.rows import CachedRows, lookup
from tlx.features.segments import Shape
from tlx.features.store import Entry, Store, gigabytes
from tlx.tasks.module import Task

log = logging.getLogger("tlx")


class PrefixCache:
    """Returns rows for the images of a run, and computes the missing ones.

    Args:
        node: The `cache` node of a configuration.
        data: The images.
        owner: Name of the user of the rows: the run directory.
        interruption: A request to stop, checked between two batches.
    """

    def __init__(
        self, node: Mapping[str, Any], data: ImageDataModule, owner: str, interruption: Interruption | None = None
    ) -> None:
        self.store = Store(node["dir"], float(node["max_gb"]))
        self.bf16 = node["precision"] == "bf16"
        self.data, self.owner = data, owner
        self.interruption = interruption
        self.failed = False  # whether writing failed; the run then stops using the cache
        self.used: set[str] = set()  # entries of this run: none is removed to make room for another
        self._found: dict[tuple[str, str, str], CachedRows] = {}  # by entry, split, label; complete

    def numerics(self, task: Task, precision: str, context: Callable[[], AbstractContextManager[object]]) -> Numerics:
        """Return how prefixes are computed, given the precision of the training and the `context` of its steps."""
        if not self.bf16:
            return Numerics(precision, context)
        device = task.mean.device
        return Numerics("bf16", lambda: autocast(device, "bf16-mixed"), torch.bfloat16)

    def boundary(self, task: Task, prefix: Sequence[str], images: int, how: Numerics) -> Boundary | None:
        """Return the highest boundary of a frozen prefix whose rows fit in the cache; None if there is none.

        It includes the outputs of lower groups that the task reads. Each has the form that the group above takes.

        Args:
            task: The network.
            prefix: The frozen groups, bottom to top.
            images: Number of rows.
            how: How the rows are computed.
        """
        if not self._can_store_labels:
            log.info("cache: labels that move with their images, and that tlx cannot store")
            return None
        shapes = self._shapes(task, prefix, how)
        for name in reversed(shapes):
            below = prefix[: prefix.index(name)]
            names = [*(group for group in below if group in task.reads), name]
            found = self._boundary(task, names, shapes, how)
            if self._reserve(task, found, images):
                return found
            needed = images * self._bytes(found)
            log.info(
                "cache: the output of %s takes %s for %s images, but only %s is available (cache.max_gb, disk)",
                " and ".join(names), gigabytes(needed), f"{images:,}", gigabytes(max(0.0, self.store.room())),
            )  # fmt: skip
        return None

    def _boundary(self, task: Task, names: Sequence[str], shapes: Mapping[str, Shape], how: Numerics) -> Boundary:
        """Return the boundary at the last of some groups, with the outputs of all.

        If a task that reads maps has the last group's as its input, maps of all groups are stored: above that group
        there is only the pool.
        """
        pooled = False if task.kind.reads_maps and names[-1] == task.backbone.group_names[-1] else None
        if pooled is not None:
            shapes = self._shapes(task, names, how, pooled)
        return Boundary(tuple(Output(one, shapes[one], self._entry(task, one, how, pooled)) for one in names), pooled)

    def outputs(
        self, task: Task, groups: Sequence[str], images: int, how: Numerics, pooled: bool = True
    ) -> Boundary | None:
        """Return where the outputs of layer groups are stored; None if they do not fit in the cache.

        Args:
            task: The network, frozen up to the last of the groups.
            groups: The layer groups, bottom to top.
            images: Number of rows of each.
            how: How the rows are computed.
            pooled: Whether features and means are stored, or maps, see `Backbone.run`.
        """
        shapes = self._shapes(task, groups, how, pooled)
        outputs = tuple(Output(name, shapes[name], self._entry(task, name, how, pooled)) for name in groups)
        found = Boundary(outputs, pooled)
        return found if self._reserve(task, found, images) else None

    def rows(self, task: Task, request: Request, how: Numerics) -> dict[str, CachedRows] | None:
        """Compute the missing rows and return all that were requested; None if they cannot be written.

        All processes must call it; each computes its share.

        Returns:
            Layer group -> a row for each image of the split, for each output of the boundary, bottom to top.
        """
        drawn = label(self.data.drawing(request.split, request.view))
        stored = [*request.boundary.outputs, *self._labels_of(request.split)]
        known = {one.name: (one.entry.key, request.split, drawn) for one in stored}
        if not all(one in self._found for one in known.values()):
            rows = self._complete(task, request, stored, drawn, how)
            if rows is None:
                return None
            self._found |= {known[name]: found for name, found in rows.items()}
        return {one.name: self._found[known[one.name]] for one in request.boundary.outputs}

    def labels(self, split: str, view: int | None) -> CachedRows | None:
        """Return the labels that belong to the rows that `rows` returned; None: labels do not move with images.

        Args:
            split: The split of the request.
            view: The view of the request.
        """
        drawn = label(self.data.drawing(split, view))
        return next((self._found[one.entry.key, split, drawn] for one in self._labels_of(split)), None)

    def features(self, task: Task, split: str, how: Numerics) -> CachedRows | None:
        """Return the features of the images of a split that this run has read, in some drawing; None: it has not.

        Args:
            task: The network; rows of other weights are not its features.
            split: The split.
            how: How the rows were computed.
        """
        if task.feature_groups != (task.backbone.group_names[-1],):
            return None  # they are those of several groups
        key = self._entry(task, *task.feature_groups, how).key
        return next((rows for (of, part, _), rows in self._found.items() if (of, part) == (key, split)), None)

    @property
    def stores_labels(self) -> bool:
        """Whether labels are stored beside the outputs, because they move with their images."""
        return self._labels is not None

    @cached_property
    def _labels(self) -> Output | None:
        """The labels of the images if they move with these."""
        kind = self.data.label_kind("train")
        if kind is None or not kind.moves:
            return None
        first: Any = self.data.images_of("train", [0]).dataset
        shape = Shape.of(first[0, 0]["target"])
        entry = self.store.entry(labels_key(kind, self.data.preprocessing, self.data.channels))
        return Output(f"labels ({kind.name})", shape, entry, is_label=True)

    @property
    def _can_store_labels(self) -> bool:
        kind = self.data.label_kind("train")
        return kind is None or not kind.moves or self.data.label_keys("train") is not None

    def _labels_of(self, split: str) -> list[Output]:
        """Return the labels that have to be stored beside the outputs for a split, if any."""
        return [] if self._labels is None or self.data.label_kind(split) is None else [self._labels]

    def _keys(self, one: Output, split: str) -> Sequence[bytes]:
        """Return the key of the row of each image of a split."""
        if not one.is_label:
            return self.data.content_keys(split)
        keys = self.data.label_keys(split)
        assert keys is not None
        return keys

    def _bytes(self, boundary: Boundary) -> int:
        """Return the bytes per image of all outputs of a boundary and of the labels."""
        return sum(one.bytes for one in (*boundary.outputs, *self._labels_of("train")))

    def _lookup(
        self, stored: Sequence[Output], split: str, drawn: str
    ) -> tuple[dict[str, CachedRows] | None, dict[str, list[int]]]:
        """Return all stored rows of a split, None if any are missing; and the missing indices, by output."""
        rows: dict[str, CachedRows] = {}
        missing: dict[str, list[int]] = {}
        for one in stored:
            found, places = lookup(one.entry, drawn, self._keys(one, split))
            if found is None:
                missing[one.name] = places
            else:
                rows[one.name] = found
        return (None if missing else rows), missing

    def _complete(
        self, task: Task, request: Request, stored: Sequence[Output], drawn: str, how: Numerics
    ) -> dict[str, CachedRows] | None:
        rows, missing = self._lookup(stored, request.split, drawn)
        if not _any(bool(missing), task):
            self._note(task, stored, how)
            return rows
        of_all = {one.entry.key: one for each in request.also for one in each.outputs}
        of_all |= {one.entry.key: one for one in stored}
        names = task.backbone.group_names
        outputs = sorted(of_all.values(), key=lambda one: len(names) if one.is_label else names.index(one.name))
        rank, world = rank_and_world()
        with ExitStack() as held:
            if rank == 0:
                for one in sorted(outputs, key=lambda one: one.entry.key):  # the same order in all runs: no deadlock
                    held.enter_context(one.entry.alone())
            _wait_for_all()
            for share in ((rank, world), (_local("RANK", rank), _local("WORLD_SIZE", world))):
                # The second pass is for machines that do not see the files of other machines.
                rows, missing = self._lookup(stored, request.split, drawn)
                if not _any(bool(missing), task):
                    break
                mine = sorted(set().union(*missing.values()))[share[0] :: share[1]]
                if not self._compute(task, request, outputs, mine, missing, drawn, how):
                    break
                _wait_for_all()
            else:
                rows, _ = self._lookup(stored, request.split, drawn)
            _wait_for_all()
        self._note(task, outputs, how)
        return None if _any(rows is None, task) else rows

    def _compute(
        self, task: Task, request: Request, outputs: Sequence[Output], mine: Sequence[int],
        missing: Mapping[str, Sequence[int]], drawn: str, how: Numerics,
    ) -> bool:  # fmt: skip
        """Compute this process's share; return whether all processes could write theirs.

        Args:
            task: The network.
            request: The requested rows.
            outputs: Outputs of this boundary and of `request.also`, bottom to top.
            mine: Indices in `keys` of this process's images.
            missing: Indices in `keys` of the missing rows of each output of this boundary.
            drawn: Label of the segments.
            how: How the rows are computed.
        """
        wanted: dict[str, Wanted] = {}
        for one in outputs:
            keys = self._keys(one, request.split)
            contents = [keys[i] for i in mine]
            gone = lookup(one.entry, drawn, contents)[1] if one.name not in missing else None
            absent = {contents[i] for i in gone} if gone is not None else {keys[i] for i in missing[one.name]}
            wanted[one.name] = Wanted(one.entry, drawn, keys, absent & set(contents), one.is_label)
        start = time.monotonic()
        failed = False
        try:
            if mine:
                batches = self.data.images_of(request.split, mine, request.view)
                pooled = request.boundary.pooled
                compute(task, batches, wanted, how.context, self._between, how.dtype, pooled)
        except OSError as error:
            log.warning("cache: cannot write %s: %s; the run continues without the cache", self.store.folder, error)
            failed = True
        view = "" if request.view is None else f", view {request.view}"
        log.info(
            "cache: %s%s: %s up to %s in %.1f s, %s", *_counted(request.split, view, len(mine), self.data.in_parts),
            " and ".join(one.name for one in outputs), time.monotonic() - start,
            gigabytes(sum(one.shape.bytes * len(wanted[one.name].missing) for one in outputs)),
        )  # fmt: skip
        self.failed = _any(failed, task)
        return not self.failed

    def _between(self) -> None:
        if self.interruption is not None and self.interruption.requested is not None:
            self.interruption.stop()

    def _reserve(self, task: Task, boundary: Boundary, images: int) -> bool:
        """Make room for the rows of a boundary; return whether they fit."""
        needed, stored = images * self._bytes(boundary), [*boundary.outputs, *self._labels_of("train")]
        if _any(needed > self.store.room(), task):
            return False
        self.used |= {one.entry.key for one in stored}
        self.store.make_room(max(0, needed - sum(one.entry.bytes for one in stored)), self.used)
        return True

    def _shapes(self, task: Task, groups: Sequence[str], how: Numerics, pooled: bool | None = None) -> dict[str, Shape]:
        size, device = self.data.preprocessing.height_width, task.mean.device
        image = torch.zeros(2, self.data.channels, *size, dtype=torch.uint8, device=device)
        with no_gradients(), how.context():
            outputs = task.backbone.run(task.normalise(image), outputs=groups, pooled=pooled)
        return {name: Shape.of(x if how.dtype is None else x.to(how.dtype)) for name, x in outputs.items()}

    def _entry(self, task: Task, group: str, how: Numerics, pooled: bool | None = None) -> Entry:
        names = task.backbone.group_names
        last, is_map = group == names[-1], task.backbone.layouts[group].kind == "map"
        kept = {}
        if pooled and not last:
            kept = {"pooled": "mean"}
        elif pooled is False and (last or not is_map):
            kept = {"pooled": "no"}
        # Other forms share an entry: trained heads and classifiers read the same features of the last group; a pyramid
        # reads the maps that the next group takes.
        layout = "channels_last" if task.memory_format == torch.channels_last else "contiguous"
        key = prefix_key(
            task.backbone, names[: names.index(group) + 1], self.data.preprocessing, self.data.channels,
            precision=how.precision, layout=layout, device=task.mean.device.type, **kept,
        )  # fmt: skip
        return self.store.entry(key)

    def _note(self, task: Task, outputs: Sequence[Output], how: Numerics) -> None:
        if rank_and_world()[0] != 0:
            return
        architecture = task.backbone.architecture
        for one in outputs:
            about = {
                "backbone": architecture.get("name", architecture.get("_target_", "?")), "boundary": one.name,
                "size": self.data.preprocessing.size, "precision": how.precision, "device": task.mean.device.type,
            }  # fmt: skip
            with suppress(OSError):  # a full disk: the run does not need the note
                one.entry.note(about, self.owner, str(self.data.dataset.get("name", "?")))


def _counted(split: str, view: str, rows: int, in_parts: bool) -> tuple[str, str, str]:
    """Return the split, the view and the number of images, crops or tiles, for the log."""
    if split == VAL_TILES:
        return "val", view, counted(rows, "tile", "tiles")
    return split, view, counted(rows, "crop", "crops") if view and in_parts else counted(rows, "image", "images")


def _local(what: str, default: int) -> int:
    """Return this process's rank on its machine, or the number of processes there, as torchrun and Lightning set it."""
    return int(os.environ.get(f"LOCAL_{what}", default))


def _wait_for_all() -> None:
    if rank_and_world()[1] > 1:
        dist.barrier()


def _any(here: bool, task: Task) -> bool:
    """Return whether `here` is true in any process."""
    if rank_and_world()[1] == 1:
        return here
    anywhere = torch.tensor(int(here), device=task.mean.device)
    dist.all_reduce(anywhere, op=dist.ReduceOp.MAX)
    return bool(anywhere)
