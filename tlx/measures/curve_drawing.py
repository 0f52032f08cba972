"""Draw the curves of a training over epochs: losses, the main metric, the rate of each layer group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlx.measures.drawing import new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATE = "lr/"
COLOURS = {"train": "#2a6f97", "val": "#e07a3f"}
_BORDER = "#9a9a9a"


def draw_curves(rows: Sequence[Mapping[str, str]], metric: str) -> Figure:
    """Draw losses, a metric and rates over epochs, counted from 1, with a line where a stage begins.

    Args:
        rows: The rows of metrics.csv by column, at least one.
        metric: Name of the metric without its split, such as `accuracy`.
    """
    epochs = np.array([int(row["epoch"]) + 1 for row in rows])
    groups = [name for name in rows[-1] if name.startswith(RATE)]
    measured = [name for name in ("loss", metric) if any(f"{split}/{name}" in rows[-1] for split in COLOURS)]
    figure = new_figure(7.5, 2.2 * (len(measured) + 1) + 0.4)
    panels: list[Axes] = figure.subplots(len(measured) + 1, 1, sharex=True, squeeze=False).flatten().tolist()
    for axes, name in zip(panels, measured, strict=False):
        for split, colour in COLOURS.items():
            if f"{split}/{name}" in rows[-1]:
                values = np.array([_number(row.get(f"{split}/{name}")) for row in rows])
                known = ~np.isnan(values)  # some epochs are not validated
                axes.plot(epochs[known], values[known], ".-", color=colour, label=split)
        axes.set_ylabel(name)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _draw_rates(panels[-1], epochs, rows, groups)
    for axes in panels:
        axes.grid(alpha=0.3)
    _draw_stages(panels, epochs, [row["stage"] for row in rows])
    return figure


def _draw_rates(axes: Axes, epochs: np.ndarray, rows: Sequence[Mapping[str, str]], groups: Sequence[str]) -> None:
    """Draw the rate of each layer group, the head on top; where it is 0 the group is frozen, and no point is drawn."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    shades = colormaps["viridis"](np.linspace(0.9, 0, max(len(groups), 1)))
    for name, colour in list(zip(groups, shades, strict=False))[::-1]:
        rates = [_number(row.get(name)) or math.nan for row in rows]
        axes.plot(epochs, rates, ".-", color=colour, label=short(name.removeprefix(RATE)))
    axes.set(yscale="log", ylabel="learning rate", xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if groups:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_stages(panels: Sequence[Axes], epochs: np.ndarray, stages: Sequence[str]) -> None:
    """Draw a line where a stage begins, with its name above the uppermost panel."""
    for i, (epoch, stage) in enumerate(zip(epochs.tolist(), stages, strict=True)):
        if i and stage == stages[i - 1]:
            continue
        for axes in panels if i else ():
            axes.axvline(epoch - 0.5, color=_BORDER, linestyle="--", linewidth=1)
        panels[0].text(epoch - 0.4, 1.02, short(stage), transform=panels[0].get_xaxis_transform(), fontsize=8)


def _number(text: str | None) -> float:
    return float(text) if text else math.nan
