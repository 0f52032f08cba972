"""Draw matplotlib figures as pixels, without pyplot and without changing the user's backend."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlx.base.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; width and height are in inches of 100 pixels."""
    from tlx.measures.notebook_figure import NotebookFigure

    return NotebookFigure(figsize=(width, height), dpi=100, layout="constrained")


def figure_of(pixels: np.ndarray) -> Figure:
    """Return a figure that shows pixels, uint8 (H, W, 3), as they are."""
    figure = new_figure(pixels.shape[1] / 100, pixels.shape[0] / 100)
    figure.set_layout_engine("none")
    figure.figimage(pixels)
    return figure


@contextmanager
def without_tex() -> Iterator[None]:
    """Do not run TeX inside the block, even if a matplotlibrc in the working directory asks for it."""
    from matplotlib import rc_context

    with rc_context({"text.usetex": False}):
        yield


def pixels_of(figure: Figure) -> np.ndarray:
    """Return a figure's pixels, uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # characters that the font lacks become boxes
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_png(pixels: np.ndarray, path: Path) -> None:
    """Write pixels, uint8 (H, W, 3), as PNG."""
    from PIL import Image

    with writing(path) as file:
        Image.fromarray(pixels).save(file, format="PNG")


def short(text: str, most: int = 24) -> str:
    """Return a name without its middle if it is long, and with `$` escaped, which would begin a formula."""
    text = text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2 - 1) :]}"
    return text.replace("$", r"\$")
