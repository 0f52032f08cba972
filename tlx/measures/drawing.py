"""Figures of matplotlib as pixels; neither pyplot nor the user's backend is touched."""

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
    """Return an empty figure of so many inches, 100 pixels each."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


@contextmanager
def without_tex() -> Iterator[None]:
    """Inside, no text is handed to TeX, a program, as a matplotlibrc of the working directory may ask for."""
    from matplotlib import rc_context

    with rc_context({"text.usetex": False}):
        yield


def pixels_of(figure: Figure) -> np.ndarray:
    """Return a figure's pixels, uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # letters that the font lacks become boxes
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_png(pixels: np.ndarray, path: Path) -> None:
    """Write pixels, uint8 (H, W, 3), as PNG."""
    from PIL import Image

    with writing(path) as file:
        Image.fromarray(pixels).save(file, format="PNG")


def short(text: str, most: int = 24) -> str:
    """Return a name that fits, its middle left out where it is long; `$` would begin a formula."""
    text = text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2 - 1) :]}"
    return text.replace("$", r"\$")
