"""Draw a confusion matrix."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tlx.measures.drawing import new_figure, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS_AT_MOST = 25  # with more classes, the cells have no text
NAMES_AT_MOST = 130  # with more classes, not every name is shown
_CELL, _LARGEST_CELL = 0.42, 0.9  # inches a side, of many classes and of few
_LARGEST_TEXT = 18  # points
_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)


def row_shares(confusion: Tensor) -> Tensor:
    """Return a confusion matrix (K, K), rows true, as fractions of each row; 0 for a class without images."""
    counts = confusion.double()
    rows = counts.sum(dim=1, keepdim=True)
    return torch.where(rows > 0, counts / rows, 0)


def draw_confusion(share: Tensor, names: Sequence[str], text: Callable[[int, int], str], title: str) -> Figure:
    """Draw a confusion matrix: one row per true class, colour = fraction of the row.

    Args:
        share: Fractions of the rows (K, K).
        names: Class names.
        text: Returns the text of a cell, by row and column; it is shown if the texts fit.
        title: Title of the picture.
    """
    from matplotlib.colors import PowerNorm

    classes = len(names)
    cell = min(_LARGEST_CELL, _CELL + 0.06 * max(0, 12 - classes))
    side = min(max(cell * min(classes, CELLS_AT_MOST) + 0.14 * max(classes - CELLS_AT_MOST, 0), 2.2), 20)
    margin = 0.08 * max(len(short(name)) for name in names) + 0.9  # inches for the names, rotated below
    figure = new_figure(side + margin + 1.2, side + margin + 0.5)
    axes = figure.subplots()
    # A square-root scale keeps even one per cent of a class visible.
    picture = axes.imshow(share.numpy(), cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(picture, ax=axes, fraction=0.03, pad=0.02, label="fraction of the true class", ticks=_TICKS)
    size = max(4.5, min(9, 72 * side / classes * 0.75))
    step = math.ceil(classes / NAMES_AT_MOST)
    ticks = list(range(0, classes, step))
    labels = [short(names[i]) for i in ticks]
    axes.set_xticks(ticks, labels, rotation=90, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if classes <= CELLS_AT_MOST:
        places = list(itertools.product(range(classes), repeat=2))
        longest = max(len(text(*place)) for place in places)
        points = min(_LARGEST_TEXT, 72 * cell * 0.8 / (0.62 * max(longest, 2)))  # a digit is 0.62 of its height wide
        for row, column in places:
            colour = "white" if share[row, column] > 0.35 else "black"
            if text(row, column):
                axes.text(column, row, text(row, column), ha="center", va="center", color=colour, fontsize=points)
    return figure
