"""The half of classification that works without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from tlx.base.errors import Mistake, did_you_mean
from tlx.base.fields import BELOW_1, NAME, POSITIVE, within
from tlx.base.typecheck import show
from tlx.data.catalog import source_of
from tlx.data.splits.typed_classes import class_called
from tlx.records.prediction_columns import CONFIDENCE, PREDICTED, TRUE
from tlx.strategies.selectors import HEAD
from tlx.tasks.kind import BoxSides, Node, Size, TaskKind, UpperPlan, Widths

Monitored = Literal[
    "val/accuracy",
    "val/auroc",
    "val/balanced_accuracy",
    "val/f1",
    "val/loss",
    "target/entropy",
    "target/infomax",
]


@dataclass
class ClassificationKeys:
    """One class per image."""

    _target_: str
    name: str = field(metadata=NAME)
    num_classes: int | None = field(default=None, metadata=within(1, 10_000_000))
    monitor: Monitored = "val/loss"
    mode: Literal["min", "max"] = "min"
    label_smoothing: float = field(default=0.0, metadata=BELOW_1)
    dropout: float = field(default=0.0, metadata=BELOW_1)
    tile_size: int | None = field(default=None, metadata=within(8, 100_000))
    tile_overlap: float = field(default=0.0, metadata=within(0, 0.9))
    tile_pool: Literal["mean", "max"] = "mean"
    class_weights: Literal["balanced"] | dict[str, float] | None = field(default=None, metadata=POSITIVE)


class ClassificationKind(TaskKind):
    """Image classification: one linear layer on the pooled features."""

    schema = ClassificationKeys
    class_rows = ("head.1.weight", "head.1.bias")
    monitors = get_args(Monitored)
    selecting_images = 200
    scorings = ("accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss")
    gives_class_scores = True
    oracle = "oracle/accuracy"
    labels = "classes"
    headline = "test/accuracy"
    of_class = "test/sensitivity"
    shown_of_wrong = (TRUE, PREDICTED, CONFIDENCE)
    compared = ("val/accuracy", "val/loss", "test/accuracy", "test/loss", "test/ece")

    def mistakes(self, task: Node, dataset: Node) -> Iterator[Mistake]:
        """Yield mistakes in the head, the tiles and the class weights."""
        yield from _head(task, dataset)
        yield from _tiles(task, dataset)
        yield from _class_weights(task, dataset)

    def outputs(self, task: Node, dataset: Node | None = None) -> int | None:
        """Return the number of classes."""
        asked: int | None = task.get("num_classes")
        return asked or (None if dataset is None else source_of(dataset).num_classes())

    def upper_plan(
        self, task: Node, widths: Widths, outputs: int | None, size: Size | None = None, box_sides: BoxSides = ()
    ) -> UpperPlan:
        """Return the weights and biases of the linear layer."""
        return UpperPlan({HEAD: (widths.num_features + 1) * (outputs or 0)})

    def wrongness(self, row: Mapping[str, str]) -> float | None:
        """Return the probability of a wrong class."""
        return None if row[TRUE] == row[PREDICTED] else float(row[CONFIDENCE])

    def described(self, widths: Widths, outputs: int | None) -> str:
        """Return the numbers of inputs and outputs of the linear layer."""
        return f"{widths.num_features} -> {outputs or 'unknown until the data set is available'}"


def _head(task: Node, dataset: Node) -> Iterator[Mistake]:
    asked, known = task.get("num_classes"), source_of(dataset).num_classes()
    if asked is not None and known is not None and asked != known:
        expected = f"{known}, the number of classes of dataset '{dataset['name']}'"
        yield Mistake("task.num_classes", expected, show(asked), "leave it out: task.num_classes=null")


def _tiles(task: Node, dataset: Node) -> Iterator[Mistake]:
    tile, size = task.get("tile_size"), dataset.get("image_size")
    side = min(size) if isinstance(size, list) else size
    if tile is not None and side is not None and tile > side:
        hint = "the whole image has dataset.image_size, a tile of it task.tile_size"
        yield Mistake("task.tile_size", f"at most {side}, the side of the image", show(tile), hint)


def _class_weights(task: Node, dataset: Node) -> Iterator[Mistake]:
    weights = task.get("class_weights")
    if weights == "balanced" and dataset.get("sampling") == "balanced":
        expected = "one of task.class_weights=balanced and dataset.sampling=balanced, which do the same"
        yield Mistake("task.class_weights", expected, "both", "leave one out: task.class_weights=null")
    known = source_of(dataset).class_names()
    for name in weights if isinstance(weights, Mapping) else ():
        if known is not None and class_called(name, known) not in known:
            expected = f"a class of dataset '{dataset['name']}'"
            yield Mistake("task.class_weights", expected, show(name), did_you_mean(str(name), known))
