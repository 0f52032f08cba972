"""What a run draws for a notebook: curves over epochs, wrong test images, a picture of the review."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tlx.base.errors import TlxError
from tlx.measures.drawing import figure_of, without_tex
from tlx.records.directory import RunDirectory
from tlx.records.epochs import epoch_rows
from tlx.records.prediction_columns import IMAGE
from tlx.runs.wrong import Row, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS, _SIDE = 5, 180  # images in a row; pixels of the longer side of each


def curves_figure(run: RunDirectory, headline: str) -> Figure:
    """Return the curves of a run over its epochs.

    Args:
        run: The run, during training or afterwards.
        headline: Its main test metric, such as `test/accuracy`.

    Raises:
        TlxError: No epoch was completed.
    """
    from tlx.measures.curve_drawing import draw_curves

    try:
        rows = epoch_rows(run.directory)
    except (OSError, csv.Error):
        rows = []
    if not rows:
        raise TlxError(
            f"expected a run with a completed epoch, got '{run.place}' without one; strategy=features has no epochs"
        )
    try:
        with without_tex():
            return draw_curves(rows, headline.partition("/")[2])
    except (KeyError, ValueError) as error:
        raise TlxError(f"{run.place}/metrics.csv: expected a row for each epoch, got {error}") from error


def images_figure(rows: Sequence[Row], config: DictConfig, preprocessing: Mapping[str, Any]) -> Figure:
    """Return test images as the network saw them, each below what the table says of it.

    Args:
        rows: The rows of the images by column.
        config: The configuration by which they are read.
        preprocessing: That of the network, from model.json.
    """
    from tlx.backbones.preprocessing import Preprocessing
    from tlx.inference.seen_images import seen_images
    from tlx.measures.sheet import contact_sheet

    images = seen_images(config, Preprocessing.from_dict(dict(preprocessing)), [str(row[IMAGE]) for row in rows])
    captions = ["\n".join(_said(name, cell) for name, cell in row.items()) for row in rows]
    return figure_of(contact_sheet([*zip(captions, images, strict=True)], _COLUMNS, _SIDE))


def _said(column: str, cell: str | float) -> str:
    return shown(cell) if column == IMAGE else f"{column}: {shown(cell)}"


def review_figure(run: RunDirectory, name: str) -> Figure:
    """Return a picture of the review.

    Raises:
        TlxError: The run has no review, or it cannot be read.
    """
    from tlx.data.reading.pixels import read_pixels

    path = run.directory / "review" / f"{name}.png"
    if not path.is_file():
        raise TlxError(
            f"expected the picture review/{name}.png in '{run.place}', got none: logger=none draws no review; "
            "the table of the images is there nevertheless"
        )
    return figure_of(read_pixels(path))
