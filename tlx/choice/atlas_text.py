"""An atlas as text, table, page and picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tlx.base.files import write_text
from tlx.base.printable import aligned, one_line
from tlx.choice.folders import AtlasFolder
from tlx.choice.layer_figures import EVERY, Gain, LayerFigures, Row
from tlx.measures.atlas_drawing import Line, Panel, draw_atlas
from tlx.measures.drawing import pixels_of, without_tex, write_png
from tlx.measures.interval_text import between, in_brackets, with_interval
from tlx.measures.probe_curve import ALL, HALF
from tlx.records.prediction_file import csv_lines
from tlx.runs.shown import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("backbone", "group", "outputs", "share", "images", "figure", "value", "low", "high", "penalty")
_FORM = ".3f"
_NAMED = 6  # layer groups that are as good as the best


def text(atlas: LayerFigures) -> list[str]:
    """Return the table and what follows from it, as lines."""
    rows = [_heads(atlas), *_cells(atlas)]
    if not _several(atlas):
        rows = [row[1:] for row in rows]
    right = {*range(len(rows[0]))} - {*range(1 + _several(atlas))}
    return [*_heading(atlas), "", *aligned(rows, right), "", *conclusions(atlas)]


def _several(atlas: LayerFigures) -> bool:
    return len({row.number for row in atlas.table}) > 1


def _heading(atlas: LayerFigures) -> list[str]:
    pool, figure = atlas.pool, atlas.figure.replace("_", " ")
    lines = [
        f"{pool.describe()}; the test split is not read",
        f"{figure} of a linear probe (ridge) on the pooled output of each layer group",
        pool.describe_units(),
    ]
    return [one_line(line) for line in (*lines, *atlas.notes) if line]


def _shares(atlas: LayerFigures) -> list[float]:
    return sorted({row.share for row in atlas.table})


def _heads(atlas: LayerFigures) -> list[str]:
    images = {row.share: row.images for row in atlas.table}
    counts = [f"{images[share]:,} images" for share in _shares(atlas)]
    gained = [f"gained from {images[HALF]:,} to {images[ALL]:,}"] if HALF in images else []
    return ["backbone", "layer group", "outputs", *counts, "95 % interval", *gained]


def _cells(atlas: LayerFigures) -> list[list[str]]:
    found = []
    for row in atlas.whole:
        values = [atlas.at(row, share) for share in _shares(atlas)]
        cells = [f"{one.value:{_FORM}}" if one is not None else "" for one in values]
        gain = [_signed(atlas.gain(row))] if HALF in _shares(atlas) else []
        ends = between((row.low, row.high), _FORM)
        found.append([one_line(row.backbone), row.group, f"{row.width:,}", *cells, ends, *gain])
    return found


def _signed(gain: Gain | None) -> str:
    if gain is None:
        return ""
    value, low, high = (round(one, 3) + 0.0 if math.isfinite(one) else one for one in (gain.value, gain.low, gain.high))
    return with_interval(value, (low, high), f"+{_FORM}")  # without the sign of -0.0


def conclusions(atlas: LayerFigures) -> list[str]:
    """Return what the figures say: the best layer group, whether upper ones transfer, whether more images help."""
    best = atlas.best
    several = _several(atlas)
    lines = [f"best: {_named(best, several)}, {with_interval(best.value, (best.low, best.high), _FORM)}"]
    if atlas.as_good:
        named = ", ".join(_named(row, several) for row in atlas.as_good[:_NAMED])
        more = f" and {len(atlas.as_good) - _NAMED} more" if len(atlas.as_good) > _NAMED else ""
        lines.append(f"not shown to be worse: {named}{more}")
    last = atlas.last_of(best)
    gap = atlas.difference(best, last)
    if best is not last and gap.low > 0:
        lines.append(
            f"{_named(last, several)}, which strategy=linear_probe reads, is {_difference(gap)} below: it fits the "
            "source task more than these images"
        )
    gain = atlas.gain(best)
    if gain is not None and math.isfinite(gain.low):
        verdict = "more images of this kind would help" if gain.low > 0 else "more images are not shown to help a probe"
        lines.append(f"the second half of the images adds {_signed(gain)}: {verdict}")
    return lines


def _difference(gain: Gain) -> str:
    return f"{gain.value:{_FORM}}{in_brackets((gain.low, gain.high), _FORM)}"


def _named(row: Row, several: bool) -> str:
    return f"{one_line(row.backbone)} {row.group}" if several else row.group


def next_keys(atlas: LayerFigures) -> list[str]:
    """Return the keys of a training that reads the best layer groups."""
    best, last = atlas.best, atlas.last_of(atlas.best)
    if last in (best, *atlas.as_good):
        return ["strategy=linear_probe"]
    if best.group == EVERY:
        return ["strategy=features", "strategy.groups=backbone"]
    return ["strategy=features", f"strategy.groups=[{best.group}]"]


def drawn(atlas: LayerFigures) -> Figure:
    """Draw an atlas, see `Atlas.plot`."""
    panels = []
    for number in sorted({row.number for row in atlas.table}):
        own = [row for row in atlas.whole if row.number == number]
        lines = []
        for share in _shares(atlas):
            rows = [atlas.at(row, share) for row in own]
            present = [row for row in rows if row is not None]
            lines.append(
                Line(present[0].images, *([getattr(row, name) for row in present] for name in ("value", "low", "high")))
            )
        panels.append(Panel(own[0].backbone, [row.group for row in own], lines, own[-1].group == EVERY))
    return draw_atlas(panels, atlas.figure)


def write(atlas: LayerFigures, folder: Path, command: str) -> list[Path]:
    """Write the files of an atlas, see `Atlas.save`."""
    names = ("atlas.csv", "atlas.png", "atlas.md")
    AtlasFolder(folder).start(names)
    rows = [
        [row.backbone, row.group, row.width, row.share, row.images, atlas.figure,
         *(f"{value:.6g}" if math.isfinite(value) else "" for value in (row.value, row.low, row.high, row.penalty))]
        for row in atlas.table
    ]  # fmt: skip
    write_text(folder / "atlas.csv", "".join(csv_lines(_COLUMNS, rows)))
    with without_tex():
        write_png(pixels_of(drawn(atlas)), folder / "atlas.png")
    write_text(folder / "atlas.md", _page(atlas, command))
    return [folder / name for name in names]


def _page(atlas: LayerFigures, command: str) -> str:
    typed = ["", f"    {one_line(command)}"] if command else []
    heads, cells = _heads(atlas), _cells(atlas)
    rule = ["---", "---", *("---:" for _ in heads[2:])]
    table = [_row(row) for row in (heads, rule, *cells)]
    said = [f"- {line}" for line in conclusions(atlas)]
    parts = ["# Which layers transfer", *typed, "", *_heading(atlas), "", "![Figure over layer groups](atlas.png)", ""]
    return "\n".join([*parts, *table, "", *said, ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_html(atlas: LayerFigures) -> str:
    """Return an atlas as HTML, with names escaped."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in _heading(atlas))
    said = "".join(f"<p>{escape(line)}</p>" for line in conclusions(atlas))
    return lines + html_table(_heads(atlas), _cells(atlas)) + said
