"""COCO's metrics of detections, by torchmetrics and faster-coco-eval."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from tlx.data.box_labels import CLASS, IGNORE
from tlx.tasks.detection.average_precision import RECALLS
from tlx.tasks.detection.found import SCORE
from tlx.tasks.detection.matching import IOUS

COCO_LIMIT = 100  # detections of an image
_SIZES = ("small", "medium", "large")


def coco_metrics(
    found: Sequence[Tensor], truth: Sequence[Tensor], limit: int, by_size: bool = False
) -> dict[str, Tensor]:
    """Return COCO's metrics of images, each a scalar in [0, 1], float32.

    `map` is the mean over classes and over IoU thresholds from 0.5 to 0.95, `map_50` and `map_75` are those of one
    threshold, `recall` is the mean recall with `limit` detections of a class and image. If that is more than
    COCO_LIMIT, `map_first_100` is COCO's own figure. Without objects all are 0. Sizes are COCO's: `map_small` below
    32 x 32 pixels, `map_large` from 96 x 96; a size without objects is left out.

    Args:
        found: Detections of each image (D, 6), without empty rows.
        truth: Objects of each image (G, 6), without empty rows.
        limit: Detections of a class and image that count at most.
        by_size: Whether to return the figures by size.
    """
    found_items = [{"boxes": one[:, :4], "labels": one[:, CLASS].long(), "scores": one[:, SCORE]} for one in found]
    truth_items = [
        {"boxes": one[:, :4], "labels": one[:, CLASS].long(), "iscrowd": one[:, IGNORE].long()} for one in truth
    ]
    measured = _measured(found_items, truth_items, limit)
    figures = {name: measured[name] for name in ("map", "map_50", "map_75")}
    figures["recall"] = measured[f"mar_{max(limit, 10)}"]
    if limit > COCO_LIMIT:
        figures["map_first_100"] = _measured(found_items, truth_items, COCO_LIMIT)["map"]
    figures = {name: value.clamp(min=0) for name, value in figures.items()}  # -1: no object
    sizes = {name: measured[name] for name in (f"map_{size}" for size in _SIZES)} if by_size else {}
    return figures | {name: value for name, value in sizes.items() if value >= 0}


def _measured(found: list[dict[str, Tensor]], truth: list[dict[str, Tensor]], limit: int) -> dict[str, Tensor]:
    from torchmetrics.detection import MeanAveragePrecision  # imports much

    metric = MeanAveragePrecision(
        iou_thresholds=IOUS.tolist(),
        rec_thresholds=RECALLS.tolist(),  # torchmetrics' own are rounded to float32, which moves ties
        max_detection_thresholds=[1, 10, limit],
        backend="faster_coco_eval",
        sync_on_compute=False,
    )
    metric.warn_on_many_detections = False
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # it logs its tables
    metric.update(found, truth)
    with torch.no_grad():
        measured: dict[str, Tensor] = metric.compute()
    return measured
