"""The half of a task that works without torch, with the standard library alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from tlx.base.errors import Mistake
from tlx.strategies.selectors import HEAD

Node = Mapping[str, Any]
BoxSides = Sequence[tuple[float, float]]
Size = tuple[int, int]


@dataclass(frozen=True)
class UpperPlan:
    """What the layer groups above a backbone cost.

    Args:
        parameters: Number of parameters of each group; 0 where it depends on a number of outputs that is not known.
        remarks: Lines that `tlx plan` shows below its table.
    """

    parameters: Mapping[str, int]
    remarks: Sequence[str] = ()


class Widths(Protocol):
    """The widths of a backbone's outputs, which are the inputs of the head."""

    num_features: int  # width of the pooled output of the last layer group

    @property
    def channels(self) -> Mapping[str, int]:
        """Number of output channels of each layer group."""


def lacking(value: str) -> float | None:
    """Return what a value in a table lacks of 1; None: nothing, or it is not defined."""
    lack = 1 - float(value or "nan")
    return lack if lack > 0 else None


class TaskKind(ABC):
    """The half of a task without torch: its keys, its configuration checks, its monitors, the size of its head.

    Attributes:
        schema: The dataclass that its node is checked against; None: any keys.
        upper_groups: The layer groups above the backbone, bottom to top.
        class_rows: The parameters of these groups that have rows for each class, by their names in the network, such
            as `head.1.weight`; see `by_class`.
        monitors: The metrics that may select weights; (): any.
        selecting_images: The validation images that it takes to tell which epoch was best; see `trainer.keep`.
        scorings: The scikit-learn scorings that may select a classical classifier; (): the task cannot use one.
        gives_class_scores: Whether its output is a score for each class (B, K), which some adaptations need.
        oracle: The figure of the agreement with hidden labels of a target domain; None: the task measures none.
        reads_maps: Whether it reads maps of several layer groups; groups that give vectors are then left out.
        exact_targets: Whether its targets are numbers that half precision would round, such as edges in pixels.
        labels: The kind of labels that it learns from, see `tlx.data.labels.LabelKind.name`; None: any.
        headline: The test metric that lists and tables show first.
        of_class: The metric of a single class on the test split that shows whether it is recognised; None: none.
        compared: The metrics by which a tool may sort runs.
        instead: What to type instead of a key that another task has.
        shown_of_wrong: The columns of test_predictions.csv, without the image, that say how an image went wrong.
        worst_picture: The picture of the review with the worst images and their labels; None: images alone say enough.
        predicts_into: Where predictions are written by default: a file, or a folder if it ends in `/`.
    """

    schema: type | None = None
    upper_groups: tuple[str, ...] = (HEAD,)
    class_rows: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()
    selecting_images: int = 0
    scorings: tuple[str, ...] = ()
    gives_class_scores: bool = False
    oracle: str | None = None
    reads_maps: bool = False
    exact_targets: bool = False
    labels: str | None = None
    headline: str = "test/loss"
    of_class: str | None = None
    compared: tuple[str, ...] = ("val/loss", "test/loss")
    instead: Mapping[str, str] = MappingProxyType({})
    shown_of_wrong: tuple[str, ...] = ()
    worst_picture: str | None = None
    predicts_into: str = "predictions.csv"

    @property
    def name(self) -> str:
        """The name by which runs record the kind; a new head takes over rows only from runs of the same kind."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @abstractmethod
    def mistakes(self, task: Node, dataset: Node) -> Iterator[Mistake]:
        """Yield the conflicts between a task and a data set; each node has already been checked on its own."""

    @abstractmethod
    def outputs(self, task: Node, dataset: Node | None = None) -> int | None:
        """Return the number of outputs of the head, None if it is unknown before the data set is loaded.

        Args:
            task: The composed task node.
            dataset: The composed dataset node; None: use the task node alone.
        """

    @abstractmethod
    def upper_plan(
        self, task: Node, widths: Widths, outputs: int | None, size: Size | None = None, box_sides: BoxSides = ()
    ) -> UpperPlan:
        """Return what the upper groups cost.

        Args:
            task: The composed task node.
            widths: The backbone.
            outputs: Number of outputs of the head; None: unknown before the data set is loaded.
            size: Height and width of an input in pixels; None: no lines for `tlx plan`.
            box_sides: Width and height of the training boxes in pixels of the input; none: not known, or no boxes.
        """

    @abstractmethod
    def described(self, widths: Widths, outputs: int | None) -> str:
        """Return the shape of the head as text, such as `512 -> 10`."""

    def wrongness(self, row: Mapping[str, str]) -> float | None:
        """Return how wrong a row of test_predictions.csv is, larger for worse; None: it is right, or has no verdict."""
        return None

    def by_class(self, name: str, value: Any, classes: int) -> Any:
        """Return a view of a parameter (…) with a row for each class; None if it has other rows.

        Rows before those of the classes are of no class, such as that of the background.

        Args:
            name: One of `class_rows`.
            value: The parameter, a tensor (…).
            classes: Number of classes.
        """
        return value if value.ndim and len(value) == classes else None
