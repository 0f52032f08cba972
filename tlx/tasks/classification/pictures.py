"""The pictures in the review of a classifier, as matplotlib figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from tlx.measures.confusion import ClassFigures, Reliability
from tlx.measures.confusion_drawing import draw_confusion, row_shares
from tlx.measures.drawing import new_figure, short
from tlx.tasks.shown import showable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS_AT_MOST = 120  # classes in the picture of precision and recall
BLUE, ORANGE, GRAY = "#2a6f97", "#e07a3f", "#9a9a9a"


def confusion_picture(confusion: Tensor, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix: one row per true class, colour = fraction of the row, counts if they fit.

    Args:
        confusion: Counts (K, K), row = true class.
        names: Class names.
    """
    title = f"Confusion matrix, {int(confusion.sum()):,} test images"
    return draw_confusion(row_shares(confusion), names, lambda i, j: f"{confusion[i, j] or ''}", title)


def class_picture(figures: ClassFigures, names: Sequence[str]) -> Figure:
    """Draw precision and recall of each class as bars; with many classes, only those with the lowest F1."""
    order = list(range(len(names)))
    title = "Precision and recall of each class"
    if len(names) > BARS_AT_MOST:
        order = sorted(figures.f1.nan_to_num(2).argsort(stable=True)[:BARS_AT_MOST].tolist())
        title = f"Precision and recall of the {BARS_AT_MOST} of {len(names)} classes with the lowest F1"
    figure = new_figure(7.5, 0.26 * len(order) + 1.5)
    axes = figure.subplots()
    rows = np.arange(len(order))
    for offset, values, colour, label in (
        (-0.2, figures.precision, BLUE, "precision"),
        (0.2, figures.recall, ORANGE, "recall"),
    ):
        axes.barh(rows + offset, values[order].nan_to_num(0).numpy(), height=0.38, color=colour, label=label)
    labels = [f"{short(names[i])} ({int(figures.support[i])})" for i in order]
    axes.set_yticks(rows, labels, fontsize=8)
    axes.set(xlim=(0, 1), ylim=(len(order) - 0.4, -0.6), xlabel="fraction (in brackets: test images)", title=title)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower right", ncols=2, frameon=False)
    return figure


def reliability_picture(found: Reliability) -> Figure:
    """Draw accuracy over confidence, the diagonal of a calibrated classifier, and the number of images in each bin."""
    figure = new_figure(5.2, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    left, width = found.edges[:-1].numpy(), float(found.edges[1])
    bar = {"width": width, "align": "edge", "edgecolor": "white"}
    upper.bar(left, found.accuracy.nan_to_num(0).numpy(), color=BLUE, label="accuracy", **bar)
    upper.hlines(found.confidence.numpy(), left, left + width, color=ORANGE, linewidth=3, label="mean confidence")
    upper.plot([0, 1], [0, 1], "--", color=GRAY, label="calibrated")
    upper.set(
        xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=f"Reliability, expected calibration error {found.ece:.3f}"
    )
    upper.legend(loc="upper left", frameon=False)
    lower.bar(left, found.count.numpy(), color=GRAY, **bar)
    lower.set(xlabel="confidence (probability of the predicted class)", ylabel="images")
    return figure


def wrong_picture(images: Sequence[Tensor], captions: Sequence[str], columns: int = 5) -> Figure:
    """Draw images, each uint8 (C, H, W), in a grid with a caption above each image."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(2.3 * columns + 0.2, 2.75 * rows + 0.5)
    grid: list[Axes] = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(showable(image), interpolation="nearest" if image.shape[-1] < 100 else "antialiased")
        axes.set_title(caption, fontsize=8)
    figure.suptitle("The most confidently wrong test images", fontsize=11)
    return figure
