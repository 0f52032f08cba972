"""Build the pyramid and the head of a detector, as wide as fits the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlx.backbones.backbone import Backbone
from tlx.base.errors import TlxError
from tlx.tasks.detection.box_levels import BoxLevels
from tlx.tasks.detection.cost import group_macs
from tlx.tasks.detection.fasterrcnn import FasterRcnn
from tlx.tasks.detection.fcos import Fcos
from tlx.tasks.detection.head import DetectionHead
from tlx.tasks.detection.pyramid import Pyramid
from tlx.tasks.detection.retinanet import RetinaNet
from tlx.tasks.detection.widths import RETINANET_CONVS, WIDTHS, Width

_LOCATIONS = sum(1 / stride**2 for stride in (8, 16, 32, 64))  # for each pixel of the image


def fitting_width(backbone: Backbone) -> Width:
    """Return the widest of `WIDTHS` that costs no more than the backbone.

    The widest head costs 15 times as much as a small backbone, and is hardly better on small sets.
    """
    size = backbone.preprocessing.height_width
    allowed = sum(group_macs(backbone, size).values()) / (size[0] * size[1])
    fitting = [width for width in WIDTHS if _cost(width) <= allowed]
    return fitting[-1] if fitting else WIDTHS[0]


def _cost(width: Width) -> float:
    """Return the multiplications for each pixel of a pyramid and an FCOS head: convolutions of 3 x 3."""
    return (1 + 2 * width.convs) * 9 * width.channels**2 * _LOCATIONS


def chosen_width(backbone: Backbone, task: Mapping[str, Any]) -> Width:
    """Return the width of a task; where the node says nothing, what fits the backbone.

    Args:
        backbone: The backbone, see `tlx.backbones.maps.for_maps`.
        task: `model`, `pyramid_channels` and `head_convs` of the task's node.
    """
    usual = {"retinanet": RETINANET_CONVS, "fasterrcnn": 1}
    channels, convs = task.get("pyramid_channels"), task.get("head_convs") or usual.get(task["model"])
    if channels is None or convs is None:
        fitting = fitting_width(backbone)
        channels, convs = channels or fitting.channels, convs or fitting.convs
    return Width(channels, convs)


def make_upper(
    backbone: Backbone, task: Mapping[str, Any], classes: int, levels: BoxLevels | None = None
) -> tuple[Pyramid, DetectionHead]:
    """Return the pyramid and the head for the maps of a backbone.

    Args:
        backbone: The backbone, see `tlx.backbones.maps.for_maps`.
        task: `model`, `pyramid_channels` and `head_convs` of the task's node.
        classes: Number of classes K.
        levels: Levels that follow the training boxes; None: for boxes of usual sizes.

    Raises:
        TlxError: There is no such model.
    """
    levels = levels or BoxLevels.of(None)
    channels, convs = chosen_width(backbone, task)
    pyramid = Pyramid(backbone, levels.strides, channels)
    if task["model"] == "fcos":
        return pyramid, Fcos(channels, classes, convs, levels)
    if task["model"] == "retinanet":
        return pyramid, RetinaNet(channels, classes, levels)
    if task["model"] == "fasterrcnn":
        return pyramid, FasterRcnn(channels, classes, convs, levels)
    raise TlxError(f"task.model: expected fcos, retinanet or fasterrcnn, got '{task['model']}'")
