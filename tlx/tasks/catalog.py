"""Look up the kind of a task node. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake
from tlx.tasks.classification.kind import ClassificationKind
from tlx.tasks.detection.kind import DetectionKind
from tlx.tasks.kind import BoxSides, Node, Size, TaskKind, UpperPlan, Widths
from tlx.tasks.segmentation.kind import SegmentationKind

KINDS: dict[str, TaskKind] = {
    "tlx.tasks.Classification": ClassificationKind(),
    "tlx.tasks.Detection": DetectionKind(),
    "tlx.tasks.Segmentation": SegmentationKind(),
}


class OwnKind(TaskKind):
    """A task defined by the user: nothing is known about it before it is built."""

    def mistakes(self, task: Node, dataset: Node) -> Iterator[Mistake]:
        """Yield nothing."""
        yield from ()

    def outputs(self, task: Node, dataset: Node | None = None) -> int | None:
        """Return None."""
        return None

    def upper_plan(
        self, task: Node, widths: Widths, outputs: int | None, size: Size | None = None, box_sides: BoxSides = ()
    ) -> UpperPlan:
        """Return 0 for the head."""
        return UpperPlan(dict.fromkeys(self.upper_groups, 0))

    def described(self, widths: Widths, outputs: int | None) -> str:
        """Return the number of input features."""
        return f"{widths.num_features} -> not known before it is built"


def headline_in(metrics: Iterable[str]) -> str | None:
    """Return the main test metric of a run, None if it is not among its metrics.

    Tasks share some metrics, so it is that of the task of which the run has the most.
    """
    names = set(metrics)
    fitting = [kind for kind in KINDS.values() if kind.headline in names]
    return max(fitting, key=lambda kind: len(names.intersection(kind.compared))).headline if fitting else None


def kind_of(task: Mapping[str, Any]) -> TaskKind:
    """Return the kind of a composed task node."""
    return KINDS.get(str(task.get("_target_")), _OWN)


_OWN = OwnKind()
