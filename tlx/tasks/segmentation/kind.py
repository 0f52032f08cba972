"""The half of segmentation that works without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from tlx.base.errors import Mistake, did_you_mean
from tlx.base.fields import NAME, POSITIVE
from tlx.base.printable import counted
from tlx.base.typecheck import show
from tlx.data.catalog import source_of
from tlx.data.splits.typed_classes import class_called
from tlx.records.prediction_columns import IOU
from tlx.tasks.kind import BoxSides, Node, Size, TaskKind, UpperPlan, Widths, lacking
from tlx.tasks.segmentation.loss_terms import loss_terms

Monitored = Literal[
    "val/miou", "val/miou_foreground", "val/dice", "val/accuracy", "val/loss", "target/entropy", "target/infomax"
]  # fmt: skip
Decoders = Literal["unet", "fpn", "deeplabv3plus"]
_MOST_CLASSES = 255  # a mask holds a byte a pixel, and one value is for ignored pixels


@dataclass
class SegmentationKeys:
    """A class for each pixel."""

    _target_: str
    name: str = field(metadata=NAME)
    decoder: Decoders = "fpn"
    loss: str = "ce+dice"
    monitor: Monitored = "val/miou"
    mode: Literal["min", "max"] = "max"
    class_weights: Literal["balanced"] | dict[str, float] | None = field(default=None, metadata=POSITIVE)


class SegmentationKind(TaskKind):
    """Semantic segmentation: a decoder and a head above the maps of the backbone."""

    schema = SegmentationKeys
    upper_groups = ("decoder", "head")
    class_rows = ("head.0.weight", "head.0.bias")
    monitors = get_args(Monitored)
    reads_maps = True
    labels = "masks"
    headline = "test/miou"
    of_class = "test/iou"
    shown_of_wrong = (IOU,)
    worst_picture = "worst"
    predicts_into = "predictions/"
    instead = MappingProxyType(
        {
            "tile_size": "type dataset.image_size=N: whole images are read in tiles of that size",
            "num_classes": "leave it out, or name the classes of the masks: dataset.classes={0: background, 1: cell}",
        }
    )
    compared = ("val/miou", "val/loss", "test/miou", "test/miou_foreground", "test/dice", "test/boundary_iou")

    def mistakes(self, task: Node, dataset: Node) -> Iterator[Mistake]:
        """Yield mistakes in the loss and the classes, and keys of the data set that have no meaning for masks."""
        if (wrong := _loss_mistake(task)) is not None:
            yield wrong
        yield from _classes(task, dataset)
        for key, only in (("sampling", "balanced"), ("labels_per_class", None)):
            if dataset.get(key) is not None:
                other = "task.class_weights=balanced" if only else "dataset.fraction=0.1"
                hint = f"type dataset.{key}=null, or {other}"
                expected = "null for masks: an image shows several classes"
                yield Mistake(f"dataset.{key}", expected, show(dataset[key]), hint)
        if dataset.get("augment") == "trivial":
            expected = "none, light, strong, affine or characters for masks, which move with their image"
            yield Mistake("dataset.augment", expected, "'trivial'", "type dataset.augment=light")

    def outputs(self, task: Node, dataset: Node | None = None) -> int | None:
        """Return the number of classes, the background included."""
        return None if dataset is None else source_of(dataset).num_classes()

    def upper_plan(
        self, task: Node, widths: Widths, outputs: int | None, size: Size | None = None, box_sides: BoxSides = ()
    ) -> UpperPlan:
        """Return the parameters of the decoder and of the head."""
        import torch

        from tlx.tasks.segmentation.decoders import make_decoder
        from tlx.tasks.segmentation.head import make_head

        with torch.device("meta"):
            decoder = make_decoder(str(task["decoder"]), cast(Any, widths))
            head = make_head(decoder, outputs or 1)
        count = {"decoder": decoder, "head": head}
        sizes = {group: sum(p.numel() for p in module.parameters()) for group, module in count.items()}
        return UpperPlan(sizes if outputs else {**sizes, "head": 0})

    def wrongness(self, row: Mapping[str, str]) -> float | None:
        """Return what an image lacks of an IoU of 1."""
        return lacking(row[IOU])

    def described(self, widths: Widths, outputs: int | None) -> str:
        """Return the number of classes."""
        return f"{counted(outputs, 'class', 'classes') if outputs else 'an unknown number of classes'} a pixel"


def _loss_mistake(task: Node) -> Mistake | None:
    try:
        loss_terms(str(task["loss"]))
    except ValueError as error:
        return Mistake(
            "task.loss", str(error), show(task["loss"]), "such as task.loss=ce+dice or task.loss=ce+0.5*lovasz"
        )
    return None


def _classes(task: Node, dataset: Node) -> Iterator[Mistake]:
    known = source_of(dataset).class_names()
    if known is not None and len(known) > _MOST_CLASSES:
        yield Mistake("dataset.classes", f"at most {_MOST_CLASSES} classes of pixels", str(len(known)))
    weights = task.get("class_weights")
    for name in weights if isinstance(weights, Mapping) else ():
        if known is not None and class_called(name, known) not in known:
            expected = f"a class of dataset '{dataset['name']}'"
            yield Mistake("task.class_weights", expected, show(name), did_you_mean(str(name), known))
