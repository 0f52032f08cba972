"""A matplotlib figure that a notebook shows although pyplot does not manage it."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that is shown as the result of a cell; `savefig("NAME.png")` writes it.

    Notebooks show figures of pyplot alone, and only once it was imported. A figure that belongs to pyplot would stay in
    memory until it is closed.
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        FigureCanvasAgg(self).print_png(file)
        return file.getvalue()
