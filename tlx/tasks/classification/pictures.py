"""The pictures in the review of a classifier, as matplotlib figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tlx.data.reading.images import to_channels
from tlx.measures.confusion import ClassFigures, Reliability
from tlx.measures.drawing import new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COUNTS_AT_MOST = 25  # with more classes, the confusion matrix shows no counts
NAMES_AT_MOST = 130  # with more classes, it does not show every name
BARS_AT_MOST = 120  # classes in the picture of precision and recall
TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
BLUE, ORANGE, GRAY = "#2a6f97", "#e07a3f", "#9a9a9a"


def confusion_picture(confusion: Tensor, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix: one row per true class, colour = fraction of the row, counts if they fit.

    Args:
        confusion: Counts (K, K), row = true class.
        names: Class names.
    """
    from matplotlib.colors import PowerNorm

    classes = len(names)
    side = min(max(0.42 * min(classes, COUNTS_AT_MOST) + 0.14 * max(classes - COUNTS_AT_MOST, 0), 2.2), 20)
    margin = 0.08 * max(len(short(name)) for name in names) + 0.9  # inches for the names, rotated below
    figure = new_figure(side + margin + 1.2, side + margin + 0.5)
    axes = figure.subplots()
    counts = confusion.double()
    rows = counts.sum(dim=1, keepdim=True)
    share = torch.where(rows > 0, counts / rows, 0)
    # A square-root scale keeps even one per cent of a class visible.
    picture = axes.imshow(share.numpy(), cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(picture, ax=axes, fraction=0.03, pad=0.02, label="fraction of the true class", ticks=TICKS)
    size = max(4.5, min(9, 72 * side / classes * 0.75))
    step = math.ceil(classes / NAMES_AT_MOST)
    ticks = list(range(0, classes, step))
    labels = [short(names[i]) for i in ticks]
    axes.set_xticks(ticks, labels, rotation=90, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix, {int(counts.sum()):,} test images")
    if classes <= COUNTS_AT_MOST:
        for (row, column), count in np.ndenumerate(confusion.numpy()):
            if count:
                colour = "white" if share[row, column] > 0.35 else "black"
                axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=8)
    return figure


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


def showable(image: Tensor) -> np.ndarray:
    """Return a uint8 image (C, H, W) as RGB (H, W, 3), without alpha and channels beyond the third."""
    channels = image.shape[0]
    colours = image[:1] if channels < 3 else image[:3]
    return to_channels(colours, 3).permute(1, 2, 0).numpy()
