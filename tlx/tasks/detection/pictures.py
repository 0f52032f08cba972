"""The pictures in the review of a detection: matplotlib figures, and sheets of images with boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from tlx.base.printable import counted
from tlx.data.box_labels import CLASS, IGNORE
from tlx.measures.box_drawing import DrawnBox, with_boxes
from tlx.measures.colours import IGNORED, RIGHT, WRONG, distinct_colour
from tlx.measures.confusion_drawing import draw_confusion, row_shares
from tlx.measures.drawing import new_figure, short
from tlx.measures.sheet import contact_sheet, sheet
from tlx.tasks.detection.mistakes import Mistake
from tlx.tasks.detection.outputs import TestOutputs
from tlx.tasks.detection.summary import Summary
from tlx.tasks.detection.tables import sides
from tlx.tasks.shown import showable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST_AT_MOST = 5  # images in the picture of the worst
CROPS_AT_MOST, _COLUMNS = 12, 4
CURVES_AT_MOST = 20  # classes whose curves are drawn
BACKGROUND = "background"
_PANEL, _CROP = 560, 300  # pixels of the longer side
_AROUND = 0.75  # of a box's longer side, on each side of it in a crop
_MOST_TICKS = 12


def confusion_picture(confusion: Tensor, names: Sequence[str]) -> Figure:
    """Draw the confusion of classes: one row per true class, colour = share of its objects, number = boxes.

    Args:
        confusion: Boxes by true and predicted class (L, L), L = K + 1, the last for the background.
        names: Class names.
    """
    title = f"Objects and detections, IoU 0.5\n{BACKGROUND} column: missed; its row: false"
    return draw_confusion(
        row_shares(confusion),
        [*names, BACKGROUND],
        lambda i, j: f"{int(confusion[i, j])}" if confusion[i, j] else "",
        title,
    )


def curves_picture(summary: Summary) -> Figure:
    """Draw precision against recall at an IoU of 0.5, a curve for each class, with a dot at its threshold."""
    figure = new_figure(8, 5.5)
    axes = figure.subplots()
    shown = [i for i in np.argsort(-summary.objects, kind="stable").tolist() if summary.objects[i]][:CURVES_AT_MOST]
    for i in sorted(shown):
        ranked, colour = summary.ranked[i], np.array(distinct_colour(i)) / 255
        right = np.zeros(len(ranked.score))
        right[ranked.hits[0]] = 1
        counts = np.ones(len(ranked.score))
        counts[ranked.ignored[0]] = 0
        recall = np.cumsum(right) / summary.objects[i]
        precision = np.cumsum(right) / np.maximum(np.cumsum(counts), 1)
        ap = float(summary.per_class["ap_50"][i])
        axes.plot(recall, precision, color=colour, linewidth=1.4, label=f"{short(summary.names[i])}  {ap:.3f}")
        at = int((ranked.score >= summary.thresholds[i]).sum()) - 1
        if at >= 0:
            axes.plot(recall[at], precision[at], "o", color=colour, markeredgecolor="#333333")
    title = "Precision and recall at an IoU of 0.5; dot: from the class's threshold"
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    if shown:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8, title="class  AP50", title_fontsize=8)
    return figure


def sizes_picture(summary: Summary) -> Figure:
    """Draw how many objects of each size are found and missed."""
    side = sides(summary.matches.objects.box)
    low, high = (side.min(), side.max()) if len(side) else (1.0, 2.0)
    steps = np.arange(np.floor(2 * np.log2(max(low, 1))), np.floor(2 * np.log2(max(high, 1))) + 2)
    edges = 2 ** (steps / 2)
    figure = new_figure(7.5, 4.5)
    axes = figure.subplots()
    total = np.histogram(side, edges)[0]
    found = np.histogram(side[summary.verdicts.found], edges)[0]
    places = np.arange(len(total))
    axes.bar(places, found, color=np.array(RIGHT) / 255, label="found")
    axes.bar(places, total - found, bottom=found, color=np.array(WRONG) / 255, label="missed")
    for place, many, hits in zip(places, total, found, strict=True):
        if many:
            axes.text(float(place), float(many), f"{100 * hits / many:.0f} %", ha="center", va="bottom", fontsize=8)
    step = -(-len(edges) // _MOST_TICKS)
    axes.set_xticks(np.arange(len(edges))[::step] - 0.5, [f"{edge:.0f}" for edge in edges[::step]])
    axes.set(xlabel="side of the object: square root of its area, pixels", ylabel="objects", title="Objects by size")
    axes.legend(frameon=False)
    return figure


def worst_picture(outputs: TestOutputs, summary: Summary, places: Sequence[int], images: Sequence[str]) -> np.ndarray:
    """Draw images in rows: their objects, and the detections from the thresholds, uint8 (H, W, 3).

    Args:
        outputs: The recorded outputs, with the pictures of these images.
        summary: The metrics of the split.
        places: Places of the images, worst first.
        images: Name of each image.
    """
    detected, objects, verdicts, names = (
        summary.matches.detected,
        summary.matches.objects,
        summary.verdicts,
        summary.names,
    )
    rows = []
    for place, picture in list(zip(places, outputs.worst_images, strict=False))[:WORST_AT_MOST]:
        image = showable(picture)
        scale = image.shape[1] / float(outputs.size[place, 1])
        crowd = outputs.truth[place][(outputs.truth[place, :, CLASS] >= 0) & (outputs.truth[place, :, IGNORE] > 0)]
        true = [DrawnBox(_scaled(box, scale), IGNORED, dashed=True) for box in crowd[:, :4].tolist()]
        for i in np.flatnonzero(objects.image == place):
            colour = RIGHT if verdicts.found[i] else WRONG
            true.insert(0, DrawnBox(_scaled(objects.box[i].tolist(), scale), colour, names[objects.label[i]]))
        called = [
            DrawnBox(
                _scaled(detected.box[i].tolist(), scale), colour, f"{names[detected.label[i]]} {detected.score[i]:.2f}"
            )
            for which, colour in ((verdicts.wrong, WRONG), (verdicts.right, RIGHT))
            for i in np.flatnonzero(which & (detected.image == place))
        ]
        f1 = float(summary.image_f1[place])
        panels = [with_boxes(image, boxes, _PANEL, _PANEL) for boxes in (true, called)]
        shown = counted(int((objects.image == place).sum()), "object", "objects")
        captions = [f"{images[place]}: {shown}", f"{counted(len(called), 'detection', 'detections')}, F1 {f1:.2f}"]
        rows.append(list(zip(captions, panels, strict=True)))
    return sheet(rows, _PANEL)


def _scaled(box: Sequence[float], scale: float) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box in a picture that is `scale` times as large."""
    left, top, right, bottom = (edge * scale for edge in box)
    return left, top, right, bottom


def crops_picture(
    found: Sequence[Mistake], names: Sequence[str], images: Sequence[str], read: Callable[[int], Tensor]
) -> np.ndarray:
    """Draw false detections or missed objects with their surroundings: uint8 (H, W, 3).

    Args:
        found: The boxes.
        names: Class names.
        images: Name of each image.
        read: Returns an image, uint8 (C, H, W), by its place.
    """
    cells = []
    for one in found[:CROPS_AT_MOST]:
        left, top, right, bottom = one.box
        image = read(one.image)
        around = max(right - left, bottom - top) * _AROUND + 8
        x, y = int(max(left - around, 0)), int(max(top - around, 0))
        part = showable(image[:, y : int(bottom + around) + 1, x : int(right + around) + 1])
        box = DrawnBox((left - x, top - y, right - x, bottom - y), WRONG)
        score = "" if np.isnan(one.score) else f" {one.score:.2f}"
        caption = f"{names[one.label]}{score}: {one.kind}, {images[one.image].rpartition('/')[2]}"
        cells.append((caption, with_boxes(part, [box], _CROP, _CROP)))
    return contact_sheet(cells, _COLUMNS, _CROP)
