"""The pictures in the review of a segmentation, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from tlx.data.ignored import IGNORED
from tlx.measures.confusion_drawing import draw_confusion, row_shares
from tlx.measures.drawing import new_figure, short
from tlx.tasks.segmentation.colours import coloured, palette
from tlx.tasks.segmentation.error_map import CONFUSED, MEANING, error_map
from tlx.tasks.shown import showable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

WORST_AT_MOST = 8  # images in the picture of the worst
LEGEND_AT_MOST = 24  # classes in a legend
_SIDE = 3.2  # inches, the width of a panel


def confusion_picture(confusion: Tensor, names: Sequence[str]) -> Figure:
    """Draw the confusion of classes: one row per true class, colour and number = share of its pixels.

    Args:
        confusion: Pixels by true and predicted class (K, K).
        names: Class names.
    """
    share = row_shares(confusion)
    title = f"Confusion of classes, {int(confusion.sum()):,} pixels\nnumbers: per cent of the true class"
    return draw_confusion(share, names, lambda i, j: _percent(float(share[i, j])), title)


def _percent(share: float) -> str:
    """Return a share as a whole number of per cent; `<1` for less, `>99` for not quite all."""
    if not share or share == 1:
        return "100" if share else ""
    return "<1" if share < 0.005 else ">99" if share > 0.995 else f"{100 * share:.0f}"


def areas_picture(true: Tensor, called: Tensor, names: Sequence[str]) -> Figure:
    """Draw the predicted share of each image against the true one, a point for each image and class it concerns.

    Args:
        true: Share of the pixels of each image that are of each class (N, K).
        called: Share that is predicted as each class (N, K).
        names: Class names; if they are many, those with the most pixels are shown.
    """
    largest = true.nan_to_num(0).sum(dim=0).argsort(descending=True, stable=True)[:LEGEND_AT_MOST]
    colours = palette(names) / 255
    figure = new_figure(7.5, 6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#9a9a9a", linewidth=1, zorder=0)
    for i in sorted(largest.tolist()):
        shown = (true[:, i] > 0) | (called[:, i] > 0)
        x, y = true[shown, i].numpy(), called[shown, i].numpy()
        axes.scatter(
            x, y, s=22, color=colours[i], edgecolors="#555555", linewidths=0.4, alpha=0.8, label=short(names[i])
        )
    for scale in (axes.set_xscale, axes.set_yscale):  # small classes would lie in one point
        scale("function", functions=(lambda value: np.sqrt(np.maximum(value, 0)), np.square))
    ticks = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    title = f"Areas of {len(true):,} test images"
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="true share of the image", ylabel="predicted share", title=title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def worst_picture(
    images: Sequence[Tensor], captions: Sequence[str], names: Sequence[str], background: int | None
) -> Figure:
    """Draw images in rows: the image, its true mask, the predicted one, and where they differ.

    Args:
        images: Each uint8 (C + 2, H, W): C channels, then true and predicted classes (H, W); sizes may differ.
        captions: A caption for each row.
        names: Class names.
        background: Index of the background; None: there is none.
    """
    images = images[:WORST_AT_MOST]
    heights = [min(max(_SIDE * image.shape[1] / image.shape[2], 0.8), 1.5 * _SIDE) + 0.25 for image in images]
    entries = _legend(images, names, background)
    columns = 6
    figure = new_figure(4 * _SIDE, sum(heights) + 0.6 + 0.25 * -(-len(entries) // columns))
    grid = figure.subplots(len(images), 4, squeeze=False, height_ratios=heights)
    for row, image, caption in zip(grid, images, captions, strict=False):
        rgb, truth, predicted = showable(image[:-2]), image[-2].numpy(), image[-1].numpy()
        errors = error_map(rgb, truth, predicted, background)
        panels = {
            caption: rgb,
            "truth": coloured(truth, names),
            "prediction": coloured(predicted, names),
            "errors": errors,
        }
        for axes, (title, panel) in zip(row, panels.items(), strict=True):
            axes.imshow(panel, interpolation="nearest" if panel.shape[1] < 300 else "antialiased")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(title, fontsize=8)
    figure.suptitle("The worst test images: image, truth, prediction, errors", fontsize=11)
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    return figure


def _legend(images: Sequence[Tensor], names: Sequence[str], background: int | None) -> list[Patch]:
    from matplotlib.patches import Patch

    colours = palette(names)
    shown = sorted({int(i) for image in images for i in image[-2:].unique()} - {IGNORED})[:LEGEND_AT_MOST]
    entries = [(short(names[i]), colours[i]) for i in shown]
    if any((image[-2] == IGNORED).any() for image in images):
        entries.append(("ignored", np.full(3, 255)))
    meanings = MEANING if background is not None else {CONFUSED: "wrong"}
    entries += [(f"error: {meaning}", np.array(colour)) for colour, meaning in meanings.items()]
    return [Patch(facecolor=colour / 255, edgecolor="#555555", linewidth=0.5, label=name) for name, colour in entries]
