"""The half of detection that works without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from tlx.base.errors import Mistake
from tlx.base.fields import FRACTION, NAME, within
from tlx.base.printable import counted
from tlx.base.typecheck import show
from tlx.data.catalog import source_of
from tlx.records.prediction_columns import F1, OF_IMAGE
from tlx.tasks.detection.widths import GROUPS, RETINANET_CONVS
from tlx.tasks.kind import BoxSides, Node, Size, TaskKind, UpperPlan, Widths, lacking

Monitored = Literal["val/map", "val/map_50", "val/loss", "target/entropy", "target/infomax"]
Models = Literal["fcos", "retinanet", "fasterrcnn"]
_BY_CLASS = "head.network.classification_head.cls_logits"  # FCOS and RetinaNet: (anchors x classes, …)
_SCORES, _BOXES = "head.roi_heads.box_predictor.cls_score", "head.roi_heads.box_predictor.bbox_pred"  # Faster R-CNN


@dataclass
class DetectionKeys:
    """Boxes around objects."""

    _target_: str
    name: str = field(metadata=NAME)
    model: Models = "fcos"
    pyramid_channels: int | None = field(default=None, metadata=within(2 * GROUPS, 1024))
    head_convs: int | None = field(default=None, metadata=within(1, 8))
    score_threshold: float | None = field(default=None, metadata=FRACTION)
    max_detections: int | None = field(default=None, metadata=within(1, 10_000))
    monitor: Monitored = "val/map"
    mode: Literal["min", "max"] = "max"


class DetectionKind(TaskKind):
    """Object detection: a pyramid on the maps of the backbone, and a head that predicts boxes at its locations."""

    schema = DetectionKeys
    upper_groups = ("pyramid", "head")
    class_rows = tuple(f"{name}.{part}" for name in (_BY_CLASS, _SCORES, _BOXES) for part in ("weight", "bias"))
    monitors = get_args(Monitored)
    reads_maps = True
    exact_targets = True
    labels = "boxes"
    headline = "test/map"
    of_class = "test/ap"
    shown_of_wrong = (F1, *OF_IMAGE)
    worst_picture = "worst"
    predicts_into = "predictions/"
    instead = MappingProxyType(
        {
            "tile_size": "leave it out: large images are cut into tiles of dataset.image_size=[HEIGHT,WIDTH]",
            "num_classes": "leave it out, or choose classes of the boxes: dataset.classes=[cat,dog]",
            "class_weights": "leave it out: rare classes are not weighted",
            "decoder": "type task.model=fcos, retinanet or fasterrcnn",
            "loss": "leave it out: each model has its own loss",
        }
    )
    compared = ("val/map", "val/map_50", "val/loss", "test/map", "test/map_50", "test/map_75", "test/recall")

    def mistakes(self, task: Node, dataset: Node) -> Iterator[Mistake]:
        """Yield widths that the layers cannot have, and keys of the data set that have no meaning for boxes."""
        channels, convs = task.get("pyramid_channels"), task.get("head_convs")
        if channels is not None and channels % GROUPS:
            near = max(2 * GROUPS, round(channels / GROUPS) * GROUPS)
            expected = f"a multiple of {GROUPS}, the groups of GroupNorm"
            yield Mistake(
                "task.pyramid_channels", expected, show(channels), f"for example task.pyramid_channels={near}"
            )
        if convs is not None and convs != RETINANET_CONVS and task.get("model") == "retinanet":
            expected = f"null or {RETINANET_CONVS} with task.model=retinanet, whose head has that many"
            yield Mistake("task.head_convs", expected, show(convs), "leave it out, or type task.model=fcos")
        for key, only in (("sampling", "balanced"), ("labels_per_class", None)):
            if dataset.get(key) is not None:
                hint = f"type dataset.{key}=null" + ("" if only else ", or dataset.fraction=0.1")
                expected = "null for boxes: an image shows several objects"
                yield Mistake(f"dataset.{key}", expected, show(dataset[key]), hint)
        if dataset.get("augment") == "trivial":
            expected = "none, light, strong, affine or characters for boxes, which move with their image"
            yield Mistake("dataset.augment", expected, "'trivial'", "type dataset.augment=light")

    def outputs(self, task: Node, dataset: Node | None = None) -> int | None:
        """Return the number of classes; the background is none."""
        return None if dataset is None else source_of(dataset).num_classes()

    def upper_plan(
        self, task: Node, widths: Widths, outputs: int | None, size: Size | None = None, box_sides: BoxSides = ()
    ) -> UpperPlan:
        """Return parameters and cost of the pyramid and of the head, and which boxes each level finds.

        Without boxes, their sizes are taken to be usual ones.
        """
        import torch

        from tlx.tasks.detection.box_levels import BoxLevels
        from tlx.tasks.detection.cost import cost_line
        from tlx.tasks.detection.upper import make_upper

        levels = BoxLevels.of(box_sides)
        with torch.device("meta"):
            pyramid, head = make_upper(cast(Any, widths), task, outputs or 1, levels)
        parts = {"pyramid": pyramid, "head": head}
        parameters = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
        parameters = parameters if outputs else {**parameters, "head": 0}
        if size is None:
            return UpperPlan(parameters)
        found = [levels.describe(box_sides)] if box_sides else []
        return UpperPlan(parameters, [*found, cost_line(cast(Any, widths), pyramid, head, size)])

    def wrongness(self, row: Mapping[str, str]) -> float | None:
        """Return what an image lacks of an F1 of 1."""
        return lacking(row[F1])

    def described(self, widths: Widths, outputs: int | None) -> str:
        """Return the number of classes."""
        return f"boxes of {counted(outputs, 'class', 'classes') if outputs else 'an unknown number of classes'}"

    def by_class(self, name: str, value: Any, classes: int) -> Any:
        """Return the rows of a parameter by class; Faster R-CNN has a first row for the background."""
        if name.startswith(_BY_CLASS):  # anchors x classes
            return value.unflatten(0, (-1, classes)).transpose(0, 1) if len(value) % classes == 0 else None
        if name.startswith(_BOXES):  # four edges for each class
            return value.unflatten(0, (classes + 1, 4)) if len(value) == 4 * (classes + 1) else None
        return value if len(value) == classes + 1 else None
