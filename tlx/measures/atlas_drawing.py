"""Draw how well layer groups separate classes: a panel for each backbone, a line for each number of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlx.measures.drawing import new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#a9c6d8", "#5b97ba", "#1b4965")  # the fewest images first


@dataclass(frozen=True)
class Line:
    """The figures of the layer groups with one number of images.

    Args:
        images: The number of images.
        values: A figure for each group, bottom to top; NaN: not measured.
        lows: Lower ends of their intervals.
        highs: Upper ends.
    """

    images: int
    values: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """The lines of a backbone.

    Args:
        title: Its name.
        groups: Its layer groups, bottom to top.
        lines: The fewest images first; the interval of the last one is drawn.
        apart: Whether the last group is drawn apart: it is all of the others together.
    """

    title: str
    groups: Sequence[str]
    lines: Sequence[Line]
    apart: bool


def draw_atlas(panels: Sequence[Panel], figure: str) -> Figure:
    """Draw panels side by side with a common axis.

    Args:
        panels: At least one.
        figure: Name of the figure, for the axis.
    """
    widths = [max(3.0, 0.5 * len(panel.groups) + 1.2) for panel in panels]
    whole = new_figure(sum(widths) + 0.6, 3.6)
    axes: list[Axes] = whole.subplots(
        1, len(panels), sharey=True, squeeze=False, gridspec_kw={"width_ratios": widths}
    )[0].tolist()  # fmt: skip
    for place, panel in zip(axes, panels, strict=True):
        _draw(place, panel)
    axes[0].set_ylabel(figure.replace("_", " "))
    axes[-1].legend(frameon=False, fontsize=8, loc="lower right")
    return whole


def _draw(axes: Axes, panel: Panel) -> None:
    count = len(panel.groups) - panel.apart
    places = [*range(count), *([count + 0.5] if panel.apart else [])]
    for line, colour in zip(panel.lines, _COLOURS[-len(panel.lines) :], strict=True):
        last = line is panel.lines[-1]
        if last:
            axes.fill_between(places[:count], line.lows[:count], line.highs[:count], color=colour, alpha=0.15, lw=0)
        axes.plot(places[:count], line.values[:count], ".-", color=colour, label=f"{line.images:,} images")
        if panel.apart:
            axes.plot(places[count:], line.values[count:], "D", color=colour, markersize=4)
            if last:
                axes.vlines(places[count:], line.lows[count:], line.highs[count:], color=colour, alpha=0.4)
    axes.set_xticks(places, [short(name, 14) for name in panel.groups], rotation=60, ha="right", fontsize=8)
    axes.set_title(short(panel.title, 40), fontsize=9)
    axes.grid(alpha=0.3)
